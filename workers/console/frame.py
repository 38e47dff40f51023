"""What all pages of the console share: their frame, their style and their headers. Nothing is a script or from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--back:#f5f6f8;--card:#fff;--line:#d8dee4;--link:#0b57d0;
--good:#116329;--goodb:#dcf5e3;--warn:#7a4b00;--warnb:#fdf0d0;--bad:#a40e26;--badb:#fde4e4;--calm:#0b4a8f;--calmb:#e0edfb}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--soft:#9aa4af;--back:#0e1116;--card:#171b21;--line:#30363d;--link:#8ab4f8;
--good:#7ee2a0;--goodb:#0f2f1c;--warn:#f2c46d;--warnb:#352708;--bad:#ff9c9c;--badb:#3b1416;--calm:#9ecbff;--calmb:#0f2740}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif;margin:0;
color:var(--ink);background:var(--back)}
a{color:var(--link)}a:focus-visible,button:focus-visible,input:focus-visible,select:focus-visible{outline:3px solid var(--link);
outline-offset:2px}
header{background:var(--card);border-bottom:1px solid var(--line)}
header>div,main{max-width:68rem;margin:0 auto;padding:.75rem 1rem}
header>div{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;align-items:center}
header strong{font-size:1.05rem}header nav{display:flex;gap:1rem;flex-wrap:wrap;flex:1}
header a{padding:.4rem 0}header form{margin:0}
main{padding-top:1rem;padding-bottom:3rem}
h1{font-size:1.4rem;margin:.25rem 0 .75rem}h2{font-size:1.1rem;margin:0 0 .5rem}
section{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:1rem;margin:0 0 1rem}
.top{display:flex;flex-wrap:wrap;gap:.25rem .75rem;align-items:center;margin-bottom:.5rem}.top h2,.top h1{margin:0}
.pill{font-size:.85rem;font-weight:600;border-radius:99px;padding:.1rem .7rem;color:var(--calm);background:var(--calmb)}
.pill.good{color:var(--good);background:var(--goodb)}.pill.warn{color:var(--warn);background:var(--warnb)}
.pill.bad{color:var(--bad);background:var(--badb)}
p{margin:.4rem 0}.said{overflow-wrap:anywhere}
p.bad,p.good,p.warn{border-left:4px solid;padding:.35rem .75rem;border-radius:0 6px 6px 0}
p.bad{color:var(--bad);background:var(--badb)}p.good{color:var(--good);background:var(--goodb)}
p.warn{color:var(--warn);background:var(--warnb)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(7rem,1fr));gap:.5rem;margin:.75rem 0;padding:0;list-style:none}
.figures li{border:1px solid var(--line);border-radius:6px;padding:.4rem .6rem}
.figures b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums;line-height:1.3}
.figures span{color:var(--soft);font-size:.9rem}.figures .bad b{color:var(--bad)}.figures .warn b{color:var(--warn)}
dl{display:grid;grid-template-columns:minmax(8rem,12rem) 1fr;gap:.3rem 1rem;margin:.5rem 0 0}
dt{color:var(--soft);overflow-wrap:anywhere}dd{margin:0;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .75rem .35rem 0;border-top:1px solid var(--line);
vertical-align:top;overflow-wrap:break-word}thead th{border-top:0;color:var(--soft);font-weight:600;font-size:.9rem}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
meter{width:7rem;height:.9rem}
code,pre{background:var(--back);border:1px solid var(--line);border-radius:4px;padding:.05rem .3rem;overflow-wrap:anywhere}
pre{padding:.6rem;white-space:pre-wrap;margin:.4rem 0}
form.fields{display:grid;gap:.75rem;max-width:24rem}label{display:grid;gap:.2rem}
input,select{font:inherit;padding:.5rem;min-height:2.7rem;border:1px solid var(--soft);border-radius:6px;background:var(--card);
color:var(--ink);width:100%}
button{font:inherit;padding:.5rem 1rem;border:1px solid var(--link);border-radius:6px;background:var(--link);color:var(--card);
cursor:pointer;font-weight:600}
button.quiet{background:none;color:var(--link);padding:.3rem .8rem}button.bad{background:var(--bad);border-color:var(--bad)}
.row{display:flex;flex-wrap:wrap;gap:.75rem;align-items:end;margin:.5rem 0}.row label{flex:1 1 9rem}
footer{color:var(--soft);font-size:.9rem}
span.soft{color:var(--soft);font-size:.9rem}td.said{overflow-wrap:anywhere}
main ul{padding-left:1.1rem;margin:.4rem 0;overflow-wrap:anywhere}main ul.figures{padding:0}
@media(max-width:40rem){dl{grid-template-columns:1fr;gap:0}dt{margin-top:.5rem}.wide{display:none}
header nav{order:3;flex-basis:100%;gap:1.25rem}header>div{justify-content:space-between}
.figures{grid-template-columns:repeat(3,1fr)}.figures li{padding:.3rem .5rem}
td,th{padding-right:.5rem}td:last-child,th:last-child{padding-right:0}}
"""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a page knows of where it stands. `root` leads from its address to the console's first page, such as `../`.

    `who` has signed in, if anybody; `token` goes into every form.
    """

    root: str = "./"
    who: str = ""
    token: str = ""
    can_sign_out: bool = False
    may_change: bool = False

    def hidden(self) -> str:
        """The field that every form carries."""
        return f'<input type="hidden" name="token" value="{escape(self.token)}">'


def headers(*, secure: bool) -> dict[str, str]:
    """What every answer of the console carries."""
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    found = {
        "content-security-policy": f"default-src 'none'; style-src 'sha256-{style}'; img-src data:; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'",
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
    }
    return found | ({"strict-transport-security": "max-age=31536000"} if secure else {})


def document(title: str, body: str, frame: Frame, *, refresh: int = 0, nav: bool = True) -> str:
    """A whole page. `body` is HTML; `refresh` is after how many seconds it asks for itself again, 0 for never."""
    again = f'<meta http-equiv="refresh" content="{refresh}">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}'
        f'<link rel="icon" href="data:,"><title>{escape(title)} - Capsule Relay</title><style>{STYLE}</style></head>'
        f"<body>{_header(frame) if nav else ''}<main>{body}</main></body></html>"
    )


def _header(frame: Frame) -> str:
    out = (
        f'<form method="post" action="{frame.root}logout">{frame.hidden()}<button class="quiet">Sign out</button></form>'
        if frame.can_sign_out
        else ""
    )
    who = f"<span>{escape(frame.who)}</span>" if frame.who and not frame.can_sign_out else ""
    return (
        f'<header><div><strong>Capsule Relay</strong><nav><a href="{frame.root}">Status</a>'
        f'<a href="{frame.root}letters">Dead letters</a></nav>{who}{out}</div></header>'
    )


def message(title: str, said: str, advice: str = "", *, frame: Frame | None = None, kind: str = "bad") -> str:
    """A page with one message and what to do."""
    more = f"<p>{escape(advice)}</p>" if advice else ""
    body = f'<section><h1>{escape(title)}</h1><p class="{kind}">{escape(said)}</p>{more}</section>'
    return document(title, body, frame or Frame(), nav=frame is not None)


def refused(owner: str, *, denied: bool) -> str:
    """Capsule sent back a refusal."""
    said = "It was declined at Capsule." if denied else "Capsule did not allow it."
    return message(f"{owner} is not connected", said, f"Run `capsule-relay connect {owner}` to try again.")
