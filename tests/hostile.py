"""What a user, or a file of hers, may write to break out of a report: 40 strings, and a result that is full of them."""

from __future__ import annotations

import pandas as pd
from cemrad.features.failure import Failure, failures_frame
from cemrad.models.result import Result

from .report_fixture import make_result

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<img src=x onerror=alert(3)>",
    '" onmouseover="alert(4)" x="',
    "' onfocus='alert(5)' autofocus='",
    "javascript:alert(6)",
    "<a href='javascript:alert(7)'>x</a>",
    "<svg/onload=alert(8)>",
    "</style><style>*{background:url(https://evil.example/9)}</style>",
    "<iframe src=//evil.example/10></iframe>",
    "</details></section></main><h1>11",
    "{{ 7 * 7 }}{% raw %}",
    "=cmd|' /C calc'!A0",
    "case\u202e\u2066gpj.exe",
    "<!-- --><![CDATA[<b>]]>-->",
    "&lt;b&gt;&#x3c;b&#x3e;",
    "<base href=https://evil.example/>",
    "nul\x00bell\x07line\nfeed",
    "`<b>`**bold**[x](javascript:alert(18))|",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<details open ontoggle=alert(21)>",
    "<math><mtext><img src=1 onerror=alert(22)></mtext></math>",
    "<svg><script>alert(23)</script></svg>",
    "<svg><use href='data:image/svg+xml,<svg xmlns=http://www.w3.org/2000/svg><script>alert(24)</script></svg>#x'/></svg>",
    "<link rel=stylesheet href=https://evil.example/25.css>",
    "<object data=https://evil.example/26></object>",
    "<embed src=https://evil.example/27>",
    "<form action=https://evil.example/28><button autofocus onfocus=alert(28)>x</button></form>",
    "<video src=https://evil.example/29 autoplay onloadstart=alert(29)></video>",
    "<style>@import 'https://evil.example/30.css';</style>",
    "100%;background:url(https://evil.example/31)",
    "-2+3+cmd|' /C calc'!A0",
    "${alert(33)}`${alert(33)}`",
    "{% for x in ''.__class__.__mro__ %}{{ x.__subclasses__() }}{% endfor %}",
    "data:text/html,<script>alert(35)</script>",
    "&#106;avascript:alert(36)",
    '"><template shadowrootmode=open><script>alert(37)</script></template>',
    "<noscript><p title='</noscript><img src=x onerror=alert(38)>'>",
    '@HYPERLINK("https://evil.example/39","open")',
    "../../etc/passwd\\..\\x%2e%2e/#?q=<b>",
)


def hostile_result() -> Result:
    """Every place that a user can write to, filled with every string."""
    result = make_result()
    names = dict(zip(result.cases.index, HOSTILE, strict=True))
    frames = {}
    for field in ("predictions", "shap", "shap_base", "failures", "exclusions"):
        frames[field] = getattr(result, field).replace({"case_id": names})
    features = result.shap["feature"].unique()
    for endpoint, strings in zip(result.endpoints, (HOSTILE, HOSTILE[::-1]), strict=True):  # fewer features
        called = dict(zip(features, strings, strict=False))
        for field in ("shap", "chosen"):
            frame = frames.get(field, getattr(result, field))
            there = frame["endpoint"] == endpoint
            frames[field] = frame.assign(feature=frame["feature"].mask(there, frame["feature"].replace(called)))
    frames["cases"] = result.cases.rename(index=names).assign(patient_id=list(HOSTILE), site=list(HOSTILE[::-1]))
    frames["cases"].columns = [*frames["cases"].columns[:-1], HOSTILE[0]]
    frames["clinical"] = pd.DataFrame({HOSTILE[2]: list(HOSTILE)}, index=frames["cases"].index)
    frames["failures"] = failures_frame([Failure(text, text, text, text, text) for text in HOSTILE])
    keys = dict(zip(result.endpoints, ("<script>", '"onload="'), strict=True))
    for field in ("predictions", "shap", "shap_base", "chosen", "metrics", "differences", "exclusions"):
        frames[field] = frames.get(field, getattr(result, field)).replace({"endpoint": keys})
    frames["metrics"] = frames["metrics"].replace({"method": {"DeLong, clustered by patient": HOSTILE[0]}})
    frames["exclusions"] = pd.DataFrame(
        [("<script>", x, x) for x in HOSTILE], columns=["endpoint", "case_id", "reason"]
    )
    endpoints = {
        keys[key]: stated | {"title": HOSTILE[i], "positive": HOSTILE[i + 2]}
        for i, (key, stated) in enumerate(result.endpoints.items())
    }
    pictures = [
        dict(zip(HOSTILE[at:], crops.values(), strict=False))
        for at, crops in enumerate(result.crops.values())
        if at % 6 == 0
    ]
    groups = {"A": HOSTILE[4], "B": HOSTILE[12], "vendor": HOSTILE[29]}
    rest = {
        "endpoints": endpoints,
        "folds": {keys["er"]: {text: text for text in HOSTILE}},
        "cohort": {
            "name": HOSTILE[1],
            "counts": dict.fromkeys(HOSTILE, 1),
            "notes": [{"code": text, "text": text, "count": 1} for text in HOSTILE],
        },
        "provenance": {"versions": {x: x for x in HOSTILE}, "made": dict.fromkeys(HOSTILE, list(HOSTILE))},
        "name": "".join(HOSTILE),
        "crops": dict(zip(HOSTILE[::6], pictures, strict=False)),
        "tables": {name: table.replace(groups).replace({"endpoint": keys}) for name, table in result.tables.items()},
    }
    return make_result(**(frames | rest))
