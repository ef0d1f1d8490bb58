export { printable, printableList } from '../base/printable.ts'
