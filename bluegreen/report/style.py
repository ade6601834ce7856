"""How the pages of a report look: light and dark, on a laptop, a phone and on paper. Blue is blue, green is green."""

STYLE = """
:root{color-scheme:light dark;--page:#fff;--card:#f5f7fa;--ink:#1b2330;--soft:#525d6e;--line:#d3dae4;
--blue:#2f63d8;--green:#0f7450;--blue-area:#7ea1ee;--green-area:#5cbd93;
--good:#0f6b4a;--good-soft:#dcf3e8;--warn:#7a4b00;--warn-soft:#fdf0d0;--bad:#a8192a;--bad-soft:#fde8ea}
@media(prefers-color-scheme:dark){:root{--page:#10141b;--card:#191f29;--ink:#e6eaf1;--soft:#a3afc0;--line:#2e3745;
--blue:#7aa5ff;--green:#3fc58b;--blue-area:#3c63b8;--green-area:#23865c;
--good:#7fdcb2;--good-soft:#173b2d;--warn:#f0c36a;--warn-soft:#3a2e12;--bad:#ff9aa3;--bad-soft:#45202a}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);overflow-wrap:anywhere;
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:28px;line-height:1.2;margin:0 0 6px}h2{font-size:20px;margin:36px 0 10px}
h3{font-size:16px;margin:18px 0 6px}
p{margin:0 0 8px}a{color:var(--blue)}ul{margin:0;padding-left:22px}
small,.note,footer,.up{color:var(--soft);font-size:14px}footer{margin-top:40px}
.badge{display:inline-block;padding:1px 10px;border-radius:12px;font-size:14px;font-weight:600;vertical-align:middle;
background:var(--card);border:1px solid var(--line)}
.good{color:var(--good);background:var(--good-soft)}.warn{color:var(--warn);background:var(--warn-soft)}
.bad{color:var(--bad);background:var(--bad-soft)}
.blue{color:var(--blue);font-weight:600}.green{color:var(--green);font-weight:600}
.next{padding:10px 14px;background:var(--card);border-left:4px solid var(--blue);border-radius:4px}
dl{margin:0}dd{margin:0}
.figures{display:grid;grid-template-columns:repeat(4,1fr);gap:12px;margin:18px 0}
.figures div{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px}
.figures dt{color:var(--soft);font-size:14px}.figures b{display:block;font-size:22px;line-height:1.3}
.figures span{display:block;color:var(--soft);font-size:14px}.figures.wide span+span{margin-top:6px}
.facts div{display:grid;grid-template-columns:120px 1fr;gap:12px;padding:4px 0;border-bottom:1px solid var(--line)}
.facts dt{color:var(--soft)}
.bands{display:flex;gap:2px;margin:0 0 0 52px;padding:0;list-style:none}
.bands li{min-width:0;height:30px;border-radius:4px;background:var(--card);border:1px solid var(--line);overflow:hidden;
font-size:13px;line-height:28px;text-align:center;white-space:nowrap}
.bands span{padding:0 6px}
.bands li{container-type:inline-size}@container(max-width:80px){.bands span{display:none}}
.bands .soaking{border-bottom:4px solid var(--green)}
.bands .baking,.bands .launching,.bands .checking{border-bottom:4px solid var(--blue)}
.bands .overlapping,.bands .holding,.bands .switching{border-bottom:4px solid;
border-image:linear-gradient(90deg,var(--blue),var(--green)) 1}
.bands .retiring{border-bottom:4px solid var(--green)}.bands .rolling-back{border-bottom:4px solid var(--bad)}
figure{margin:18px 0 0}figcaption{font-weight:600;display:flex;flex-wrap:wrap;gap:4px 16px}
.key::before{content:"";display:inline-block;width:12px;height:12px;margin:0 6px 0 8px;border-radius:2px;
background:currentColor}
.plot{position:relative;margin:6px 0 0 52px;height:120px;border:1px solid var(--line);border-radius:4px}
.plot svg{display:block;width:100%;height:100%;overflow:visible}
.plot span{position:absolute;right:100%;padding-right:8px;font-size:13px;color:var(--soft);white-space:nowrap}
.plot .top{top:-4px}.plot .bottom{bottom:-4px}
.blue-area{fill:var(--blue-area)}.green-area{fill:var(--green-area)}
polyline{fill:none;stroke-width:2.5;vector-effect:non-scaling-stroke}
.blue-line{stroke:var(--blue)}.green-line{stroke:var(--green);stroke-dasharray:7 3}
.ticks{display:flex;justify-content:space-between;gap:12px;margin:6px 0 8px 52px;color:var(--soft);font-size:13px}
.ticks span:last-child{text-align:right}
table{width:100%;border-collapse:collapse;font-size:15px}
th{text-align:left;color:var(--soft);font-weight:600;font-size:14px}
td,th{padding:6px 12px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
td:first-child{white-space:nowrap;overflow-wrap:normal}
time{font-variant-numeric:tabular-nums}
details{border:1px solid var(--line);border-radius:8px;padding:8px 14px;margin:8px 0}
summary{cursor:pointer}details[open]>summary{margin-bottom:8px}
:focus-visible{outline:2px solid var(--blue);outline-offset:2px}
@media(max-width:700px){main{padding:16px 14px 32px}h1{font-size:23px}.figures{grid-template-columns:1fr 1fr}
.figures.wide{grid-template-columns:1fr}.facts div{grid-template-columns:84px 1fr}
.bands,.plot,.ticks{margin-left:44px}
table,tbody,tr,td{display:block}thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
tr{border-bottom:1px solid var(--line);padding:6px 0}td{border:0;padding:1px 0;display:grid;
grid-template-columns:84px minmax(0,1fr);gap:10px}td:first-child{white-space:normal}
td::before{content:attr(data-head);color:var(--soft);font-size:14px}}
@media(max-width:420px){.figures div{padding:10px}}
@media print{:root{color-scheme:light;--page:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--blue:#2f63d8;
--green:#0f7450;--blue-area:#7ea1ee;--green-area:#5cbd93}
body{font-size:11pt}main{max-width:none;padding:0}
.blue-area,.green-area,.badge,.bands li{print-color-adjust:exact;-webkit-print-color-adjust:exact}
details{border:0;padding:0}details::details-content{content-visibility:visible;display:block;height:auto}
summary{list-style:none;font-weight:600}section,figure,tr{break-inside:avoid}section:has(table){break-inside:auto}}
"""
