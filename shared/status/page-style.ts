/** The page's only style sheet. Contrast of every text colour on its ground is at least 4.5 to 1 in both themes. */
export const pageStyle = `
:root{color-scheme:light;--bg:#f5f6f4;--card:#fff;--raise:#fafbf9;--text:#1b2026;--soft:#56606b;--line:#e1e4e6;--strong:#c6ccd2;
--ok:#17724a;--okbg:#e5f3ea;--due:#1d5bb5;--duebg:#e6effb;--warning:#875300;--warningbg:#fcf0da;--critical:#b3261a;--criticalbg:#fdeae7;--unknown:#5b636c;--unknownbg:#eceef0;
--track:#e6e9eb;--focus:#1d5bb5;--shadow:0 1px 2px rgb(20 30 40/.05)}
:root[data-theme=dark]{color-scheme:dark;--bg:#0f1317;--card:#161b21;--raise:#1a2027;--text:#e4e8ec;--soft:#9aa5b1;--line:#262e37;--strong:#3a4550;
--ok:#6cc596;--okbg:#13291f;--due:#85b4f8;--duebg:#152539;--warning:#e6b35c;--warningbg:#2e2412;--critical:#ff8f85;--criticalbg:#371a18;--unknown:#9aa5b1;--unknownbg:#20272f;
--track:#28313a;--focus:#85b4f8;--shadow:none}
@media(prefers-color-scheme:dark){:root:not([data-theme=light]){color-scheme:dark;--bg:#0f1317;--card:#161b21;--raise:#1a2027;--text:#e4e8ec;--soft:#9aa5b1;--line:#262e37;--strong:#3a4550;
--ok:#6cc596;--okbg:#13291f;--due:#85b4f8;--duebg:#152539;--warning:#e6b35c;--warningbg:#2e2412;--critical:#ff8f85;--criticalbg:#371a18;--unknown:#9aa5b1;--unknownbg:#20272f;
--track:#28313a;--focus:#85b4f8;--shadow:none}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif;font-variant-numeric:tabular-nums;-webkit-text-size-adjust:100%}
.wrap{max-width:1180px;margin:0 auto;padding:0 28px}
code,.mono{font:12.5px/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
h1,h2,h3,p,ul,ol,dl,dd{margin:0;padding:0}
ul,ol{list-style:none}
button,input,select{font:inherit;color:inherit}
[hidden]{display:none!important}
:focus-visible{outline:2px solid var(--focus);outline-offset:2px;border-radius:6px}
.skip{position:absolute;left:-999px;top:8px;background:var(--card);padding:8px 14px;border-radius:8px;z-index:9}
.skip:focus{left:16px}
.sr{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.soft{color:var(--soft)}
header{padding:36px 0 26px}
header .wrap{position:relative}
.brand{font-size:13px;letter-spacing:.02em;color:var(--soft);margin-bottom:10px}
h1{font-size:32px;line-height:1.2;font-weight:620;letter-spacing:-.018em;text-wrap:balance}
.sub{color:var(--soft);margin-top:8px}
.theme{position:absolute;top:-6px;right:28px;border:1px solid var(--line);background:var(--card);border-radius:999px;padding:6px 14px;font-size:13px;cursor:pointer;color:var(--soft)}
.theme:hover{border-color:var(--strong);color:var(--text)}
.stale{background:var(--warningbg);color:var(--warning);border-radius:10px;padding:12px 16px;margin-bottom:20px}
.panel{background:var(--card);border:1px solid var(--line);border-radius:14px;box-shadow:var(--shadow)}
.soon{display:grid;grid-template-columns:minmax(0,1fr) 320px;margin-bottom:34px}
.chart{padding:20px 24px 16px;display:flex;flex-direction:column}
.soon h2,.heads h2{font-size:14px;font-weight:600}
.chart .top{display:flex;justify-content:space-between;gap:16px;align-items:baseline;flex-wrap:wrap}
.legend{display:flex;gap:16px;font-size:12.5px;color:var(--soft)}
.legend span::before{content:"";display:inline-block;width:9px;height:9px;border-radius:2.5px;margin-right:6px;background:var(--due)}
.legend .end::before{background:var(--strong)}
.legend .bare::before{background:var(--warning)}
.chart svg{display:block;width:100%;height:112px;flex:1 0 auto;margin-top:14px;overflow:visible}
.b-renew{fill:var(--due)}.b-end{fill:var(--strong)}.b-bare{fill:var(--warning)}.base{fill:var(--line)}
.axis{display:flex;justify-content:space-between;font-size:12px;color:var(--soft);margin-top:6px}
.up{border-left:1px solid var(--line);padding:20px 24px;min-width:0}
.up ol{margin-top:10px;font-size:13.5px}
.up li{display:grid;grid-template-columns:1fr auto;gap:12px;padding:4.5px 0}
.up li>*{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.up .soft{font-size:12.5px}
.side{display:grid;gap:8px;margin-bottom:28px}
.side li{border-radius:10px;padding:10px 16px;background:var(--warningbg);color:var(--warning);font-size:14px;overflow-wrap:anywhere}
.heads{display:flex;flex-wrap:wrap;gap:12px;align-items:center;margin-bottom:14px}
.search{flex:1 1 260px;min-width:0;padding:9px 14px;border:1px solid var(--strong);border-radius:10px;background:var(--card)}
.search::placeholder{color:var(--soft);opacity:1}
.chips{display:flex;flex-wrap:wrap;gap:6px}
.chip{border:1px solid var(--line);background:var(--card);border-radius:999px;padding:6px 13px;cursor:pointer;font-size:13.5px;white-space:nowrap;color:var(--soft)}
.chip b{font-weight:600;margin-left:5px;color:var(--text)}
.chip:hover{border-color:var(--strong)}
.chip[aria-pressed=true]{background:var(--text);color:var(--bg);border-color:var(--text)}
.chip[aria-pressed=true] b{color:inherit}
.sort{appearance:none;border:1px solid var(--line);background:linear-gradient(45deg,transparent 50%,var(--soft) 50%) right 15px center/5px 5px no-repeat,linear-gradient(-45deg,transparent 50%,var(--soft) 50%) right 10px center/5px 5px no-repeat,var(--card);border-radius:10px;padding:7px 30px 7px 12px;font-size:13.5px;color:var(--soft)}
.found{font-size:13px;color:var(--soft);margin:0 2px 10px}
.rows{overflow:hidden}
.rows>li{border-top:1px solid var(--line)}
.rows>li:has(>details:not([open])){content-visibility:auto;contain-intrinsic-size:auto 65px}
.rows>li:first-child{border-top:0}
summary{list-style:none;cursor:pointer}
summary::-webkit-details-marker{display:none}
.rows>li>details>summary{display:grid;grid-template-columns:14px minmax(150px,1.6fr) 72px minmax(170px,1.2fr) minmax(130px,1fr) minmax(110px,.8fr);gap:18px;align-items:center;padding:11px 22px;min-height:64px}
.rows>li>details>summary:hover{background:var(--raise)}
.rows>li>details>summary:focus-visible{outline-offset:-3px}
.rows>li>details[open]>summary{background:var(--raise)}
.dot{width:10px;height:10px;border-radius:50%;background:var(--ok)}
.dot.critical{background:var(--critical);border-radius:2px;transform:rotate(45deg)}.dot.warning{background:var(--warning);border-radius:2px}.dot.due{background:var(--due)}.dot.unknown{background:none;border:2px solid var(--unknown)}
.cell{min-width:0}
.cell>span{display:block;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.cell .soft,.cell .t{font-size:13px}
.name{font-weight:600}
.t.critical,.left.critical{color:var(--critical)}.t.warning,.left.warning{color:var(--warning)}.left.due{color:var(--due)}
.tag{display:inline-block;font-size:11.5px;font-weight:500;color:var(--soft);border:1px solid var(--line);border-radius:5px;padding:0 5px;margin-left:7px;vertical-align:1px}
.bar{display:block;width:100%;height:5px;margin-top:6px;border-radius:3px}
.bar .track{fill:var(--track)}.f-ok{fill:var(--ok)}.f-due{fill:var(--due)}.f-warning{fill:var(--warning)}.f-critical{fill:var(--critical)}.f-unknown{fill:var(--unknown)}
.short{color:var(--warning)}
.body{padding:6px 22px 26px 54px;background:var(--raise)}
.problem{border-radius:10px;padding:13px 16px;margin:8px 0;background:var(--warningbg)}
.problem.critical{background:var(--criticalbg)}
.problem h3{font-size:14.5px;font-weight:600;color:var(--warning);overflow-wrap:anywhere}
.problem.critical h3{color:var(--critical)}
.problem dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:2px 14px;margin-top:6px;font-size:14px}
.problem dt{color:var(--soft)}.problem dd{overflow-wrap:anywhere}
.body h3.h{font-size:13px;font-weight:600;color:var(--soft);margin:24px 0 8px}
.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:4px 18px;font-size:14px}
.facts dt{color:var(--soft)}.facts dd{overflow-wrap:anywhere}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:10px;background:var(--card)}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th,td{text-align:left;padding:7px 14px;border-top:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
thead th{border-top:0;font-weight:500;color:var(--soft);font-size:12.5px;white-space:nowrap}
tbody th{font-weight:500;min-width:11em}
td.n{white-space:nowrap}
.v{white-space:nowrap;border-radius:5px;padding:1px 7px;font-size:12.5px;font-weight:500;background:var(--okbg);color:var(--ok)}
.v.critical{background:var(--criticalbg);color:var(--critical)}.v.warning{background:var(--warningbg);color:var(--warning)}.v.unknown{background:var(--unknownbg);color:var(--unknown)}.v.due{background:var(--duebg);color:var(--due)}
.rot{border:1px solid var(--line);border-radius:10px;background:var(--card);margin-top:8px}
.rot>summary{padding:10px 14px;display:flex;flex-wrap:wrap;gap:4px 12px;align-items:baseline;font-size:14px}
.rot .in{padding:0 14px 14px}
.rot .in>p{font-size:14px;margin-bottom:8px}
.more{border:1px solid var(--line);background:var(--card);border-radius:8px;padding:5px 12px;font-size:13px;cursor:pointer;margin-top:8px}
.empty{padding:40px 24px;text-align:center;color:var(--soft)}
.tool{margin-top:28px}
.tool summary{display:flex;flex-wrap:wrap;gap:4px 14px;align-items:baseline;padding:14px 22px}
.tool h2{font-size:14px;font-weight:600}
.tool ul{padding:0 22px 14px;font-size:14px}
.tool li{display:grid;grid-template-columns:14px 84px minmax(0,1fr);gap:12px;padding:5px 0;align-items:baseline;overflow-wrap:anywhere}
.tool p{padding:0 22px 16px;font-size:14px}
footer.wrap{color:var(--soft);font-size:13px;padding-top:28px;padding-bottom:56px}
kbd{font:12px ui-monospace,Menlo,Consolas,monospace;border:1px solid var(--line);border-radius:4px;padding:0 5px}
@media(max-width:900px){.soon{grid-template-columns:minmax(0,1fr)}.up{border-left:0;border-top:1px solid var(--line)}
.rows>li>details>summary{grid-template-columns:14px minmax(0,1.4fr) 60px minmax(130px,1fr);gap:14px}.c-next,.c-last{display:none}}
@media(max-width:560px){.tool li{grid-template-columns:14px minmax(0,1fr)}.tool li>.soft{grid-column:2}.tool li>span:last-child{grid-column:2}body{font-size:16px}.wrap{padding:0 16px}header{padding:22px 0 20px}h1{font-size:25px}.theme{padding:5px 11px;right:16px}
.chart,.up{padding:16px}.chart svg{height:84px}.up li:nth-child(n+4){display:none}.soon{margin-bottom:24px}
.chips{flex-wrap:nowrap;overflow-x:auto;margin:0 -16px;padding:2px 16px;width:calc(100% + 32px);scrollbar-width:none}
.rows{border-radius:12px}.rows>li:has(>details:not([open])){contain-intrinsic-size:auto 96px}
.rows>li>details>summary{grid-template-columns:14px minmax(0,1fr) max-content;gap:4px 12px;padding:13px 14px}
.c-left{grid-column:2/-1}.body{padding:4px 14px 20px}
.facts,.problem dl{grid-template-columns:minmax(0,1fr);gap:0}.facts dd,.problem dd{margin-bottom:7px}.facts dt,.problem dt{font-size:13px}
thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table,tbody,tbody tr,tbody th,tbody td{display:block}tbody th{min-width:0}tbody tr{border-top:1px solid var(--line);padding:9px 14px}tbody tr:first-child{border-top:0}
tbody th,tbody td{border:0;padding:1px 0}td.none{display:none}td[data-l]::before{content:attr(data-l) ": ";color:var(--soft)}}
@media(prefers-reduced-motion:no-preference){summary,.chip,.theme{transition:background-color .12s,border-color .12s}}
@media print{.heads,.theme,footer{display:none}body{background:#fff}}
`.trim()
