"""The report page's style sheet: light and dark, like `pokora verify`'s page."""

STYLE = """
:root{--ink:#1d1b2e;--soft:#6b6880;--line:#e4e1ee;--paper:#fff;--ground:#f6f4fb;--good:#1b8a5a;--fair:#b7791f;
--bad:#c53050;--unknown:#8a87a0;--before:#6c4bd8;--after:#d8743b}
@media (prefers-color-scheme:dark){:root{--ink:#eceaf6;--soft:#a5a2ba;--line:#34314a;--paper:#1f1d2e;
--ground:#161422;--good:#43c78b;--fair:#e0a94b;--bad:#f0708c;--unknown:#8a87a0;--before:#a58bff;
--after:#f0a06e}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1120px;margin:0 auto;padding:32px 20px 56px}
.beside{display:flex;flex-wrap:wrap;gap:22px;align-items:flex-end}
.beside .clip{flex:1 1 320px}.beside figure{margin:0}
.beside img{width:192px;border-radius:12px}
.clip{display:block;width:100%;max-width:520px;margin-top:22px;border-radius:12px}
header p{margin:0;color:var(--soft)}
header .pill{margin-top:10px;padding:1px 14px;font-size:13px}
h1{font-size:24px;margin:2px 0 4px;overflow-wrap:anywhere;line-height:1.3}
h2{font-size:13px;letter-spacing:.08em;text-transform:uppercase;color:var(--soft);margin:36px 0 10px}
h3{font-size:15px;margin:0 0 8px}
h3 small{font-weight:400;color:var(--soft);margin-left:6px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px;margin-top:22px}
.card,.box{background:var(--paper);border:1px solid var(--line);border-radius:12px;padding:14px 16px}
.card{border-top:5px solid var(--unknown)}
.card.good{border-top-color:var(--good)}.card.fair{border-top-color:var(--fair)}
.card.bad{border-top-color:var(--bad)}
.card small{letter-spacing:.08em;font-weight:600;text-transform:uppercase;color:var(--soft);font-size:12px}
.card b{display:block;font-size:21px;line-height:1.4;color:var(--soft)}
.card p{margin:2px 0 0;color:var(--soft);font-size:13px}
.card .good{color:var(--good)}.card .fair{color:var(--fair)}.card .bad{color:var(--bad)}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:14px}
.key{display:flex;gap:18px;margin:0 0 10px;color:var(--soft);font-size:13px}
.key.small{margin:2px 0 0 46px}
.key .before:before,.key .after:before{content:"";display:inline-block;width:18px;height:3px;
margin:0 6px 3px 0;background:var(--before);border-radius:2px}
.key .after:before{background:var(--after)}
.key .mark:before{content:"";display:inline-block;height:12px;border-left:1px dashed var(--soft);
margin:0 6px -2px 0}
svg{display:block;width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--soft);paint-order:stroke;stroke:var(--paper);
stroke-width:4px;stroke-linejoin:round}
svg path{fill:none}
svg .grid{stroke:var(--line)}
svg .mark{stroke:var(--soft);stroke-dasharray:2 4;stroke-opacity:.8}
svg .line{stroke-width:1.8;stroke-linejoin:round}
svg .line.before{stroke:var(--before)}
svg .line.after{stroke:var(--after);stroke-opacity:.8;stroke-width:1.3}
svg .line.thin{stroke-opacity:.35;stroke-width:1.2}
svg .dashed{stroke-dasharray:6 4}
svg .level{stroke-dasharray:5 4;stroke-opacity:.7}
svg path.good{stroke:var(--good)}svg path.bad{stroke:var(--bad)}svg path.soft{stroke:var(--soft)}
svg text.good{fill:var(--good)}svg text.bad{fill:var(--bad)}
svg circle{stroke:var(--paper);stroke-width:1.5}
svg circle.before{fill:var(--before)}svg circle.after{fill:var(--after)}
.join{margin-bottom:12px}
.film{display:grid;grid-template-columns:52px repeat(6,minmax(0,132px));gap:8px;align-items:center;
margin-top:6px}
.film>span{color:var(--soft);font-size:13px}
figure{margin:0;position:relative}
figure.new:before{content:"";position:absolute;left:-5.5px;top:0;bottom:18px;border-left:3px solid var(--bad);
border-radius:2px}
figcaption{font-size:12px;color:var(--soft);text-align:center}
img{width:100%;display:block;border-radius:6px;background:var(--line)}
table{border-collapse:collapse;width:100%}
td,th{padding:9px 10px;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
tr:last-child>*{border-bottom:0}
th{font-weight:600;color:var(--soft);font-size:13px}
tr.group th{padding-top:20px;letter-spacing:.08em;text-transform:uppercase;font-size:12px}
td small{display:block;color:var(--soft);font-size:13px;max-width:620px}
td small span{opacity:.75}
td i{color:var(--soft);font-style:normal;font-size:13px;margin-left:4px}
td:nth-child(2),td:nth-child(3){width:104px}td:nth-child(4){width:150px;color:var(--soft);font-size:13px}
.pill{display:inline-block;min-width:58px;text-align:center;border-radius:99px;padding:1px 10px;
color:var(--paper);background:var(--unknown);font-variant-numeric:tabular-nums}
.pill.good{background:var(--good)}.pill.fair{background:var(--fair)}.pill.bad{background:var(--bad)}
.none{color:var(--soft)}
footer{margin-top:36px;color:var(--soft);font-size:13px}
@media (max-width:560px){.plots{grid-template-columns:1fr}.film{grid-template-columns:repeat(3,1fr)}
.film>span{grid-column:1/-1}}
"""
