"""The template of the report. Everything in it is escaped but the pictures, in which matplotlib escapes."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Souk: drift of {{ release }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { padding: .25rem .6rem; white-space: nowrap; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; }
small { color: #777; }
tr.drifted td { background: #fbeee4; }
.verdict { padding: .6rem 1rem; background: #f3f3f3; border-left: .4rem solid #393; }
.alarm { border-color: #c33; } .drift { border-color: #c9a227; }
svg { max-width: 100%; height: auto; }
</style>
</head>
<body>
<h1>Drift of {{ release }}</h1>
<p class="verdict {{ verdict }}"><b>{{ headline }}</b><br>
Window {{ window.number }}: {{ window.rows }} requests, {{ began }} to {{ ended }} (UTC), against {{ reference_rows }}
{{ reference_kind }} from when the release was made.{% if verdict == "alarm" %} What to do: see whether the change is
real (a campaign, another season) or a fault (a column that is empty or renamed); if it is real, train
again.{% endif %}</p>
{% for column in drifted %}
<h2>{{ loop.index }}. {{ column.name }}</h2>
<p>{{ sentences[column.name] }} <small>p {{ column.p|shown }}, q {{ column.q|shown }},
{{ column.windows }} drifted window{{ "" if column.windows == 1 else "s" }} in a row</small></p>
{{ pictures[column.name] | safe }}
{% endfor %}
<h2>All features</h2>
<p>The strongest drift first. A feature counts as drifted where q, the p-value adjusted for all tests of the window, is
at most {{ settings.false_alarm_rate }}; {{ settings.consecutive }} drifted windows in a row are an alarm. Missing and
unknown: reference → window.</p>
<table>
<tr><th>feature</th><th>requests</th><th>test</th><th>p</th><th>q</th><th>effect</th><th>missing</th><th>unknown</th>
<th>drifted windows in a row</th></tr>
{% for column in window.columns %}
<tr{% if column.drifted %} class="drifted"{% endif %}><td>{{ column.name }}</td><td>{{ column.rows }}</td>
<td>{{ column.test or "–" }}</td>
<td>{{ column.p|shown if column.test else "–" }}</td>
<td>{{ column.q|shown if column.test else "–" }}</td>
<td>{{ "%.3f"|format(column.effect) if column.test else "–" }}</td>
<td>{{ "%.1f%% → %.1f%%"|format(100 * column.missing[0], 100 * column.missing[1]) }}</td>
<td>{{ "%.1f%% → %.1f%%"|format(100 * column.unknown[0], 100 * column.unknown[1]) if column.unknown else "–" }}</td>
<td>{{ column.windows }}</td></tr>
{% endfor %}
</table>
<h2>The last windows</h2>
<table>
<tr><th>window</th><th>requests</th><th>until (UTC)</th><th style="text-align: left">result</th></tr>
{% for row in history %}
<tr><td>{{ row.number }}</td><td>{{ row.rows }}</td><td>{{ row.ended }}</td>
<td style="text-align: left">{{ row.result }}</td></tr>
{% endfor %}
</table>
</body>
</html>
"""
