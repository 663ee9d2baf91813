"""How the report looks."""

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 66rem; padding: 0 1rem; color: #222; }
h1 { margin-bottom: .2rem; } h2 { margin-top: 2.2rem; } .first { margin: 0; font-size: 1.2rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right; vertical-align: top; }
th:first-child, td:first-child, .words { text-align: left; }
small, .few td { color: #777; } td small { white-space: nowrap; } .better { color: #27713a; } .worse { color: #b3261e; }
.verdict { padding: .6rem 1rem; background: #f3f3f3; border-left: .4rem solid #c33; font-size: 1.1rem; }
.promote { border-color: #393; } .unchanged, .none { border-color: #888; }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; }
.tiles div { flex: 1 1 9.5rem; padding: .6rem .8rem; border: 1px solid #ddd; }
.tiles b { display: block; font-size: 1.4rem; }
.family th { padding-top: .8rem; } .worst td { background: #fbeeea; }
.users { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: .8rem; }
.users section { border: 1px solid #ddd; padding: .5rem .8rem; } .users h3 { margin: 0; font-size: 1rem; }
.slates { display: flex; gap: .8rem; margin-top: .4rem; } .slates > div { flex: 1; }
.users ol { margin: .2rem 0 .6rem; padding-left: 1.6rem; } .hit { font-weight: bold; color: #27713a; }
.two { display: flex; flex-wrap: wrap; gap: 1rem; } .two > div { flex: 1 1 26rem; }
svg { max-width: 100%; height: auto; }
"""
