"""Colours, the style sheet and the head of report.html, kept in one place.

What may live here: looks only.
"""

from typing import Final

INK: Final = "#1d2733"
BLUE: Final = "#1f5fa8"
GREEN: Final = "#2f7d5b"
ORANGE: Final = "#c96f1a"
RED: Final = "#a3223f"
GREY: Final = "#8a94a0"
PALE: Final = "#f6f8fa"

SHEET: Final = f"""
:root {{ color-scheme: light; }}
body {{ margin: 0; background: #fff; color: {INK}; font: 15px/1.5 Helvetica, Arial, sans-serif; }}
main {{ max-width: 980px; margin: 0 auto; padding: 28px 30px 60px; }}
h1 {{ font-size: 27px; margin: 0 0 4px; }}
h2 {{ font-size: 19px; margin: 38px 0 8px; border-bottom: 1px solid #d8dee4; padding-bottom: 4px; }}
p {{ margin: 8px 0; }}
.lead {{ font-size: 17px; }}
.verdict {{ border-left: 5px solid {GREEN}; background: {PALE}; padding: 12px 16px; margin: 18px 0; font-size: 17px; }}
.verdict.drowned {{ border-color: {RED}; }}
.verdict.open {{ border-color: {GREY}; }}
.tiles {{ display: flex; flex-wrap: wrap; gap: 12px; margin: 16px 0; }}
.tile {{ background: {PALE}; border-radius: 6px; padding: 10px 16px; min-width: 120px; }}
.tile b {{ display: block; font-size: 22px; }}
.tile span {{ color: #5a6673; font-size: 13px; }}
.drawing {{ background: {PALE}; border-radius: 6px; padding: 8px; overflow-x: auto; }}
.drawing svg {{ min-width: 600px; }}
svg text {{ font-family: Helvetica, Arial, sans-serif; font-size: 13px; }}
.wide {{ overflow-x: auto; }}
.chart {{ overflow-x: auto; width: min(1340px, 100vw - 60px); margin-left: calc(50% - min(670px, 50vw - 30px)); }}
.chart svg {{ display: block; margin: 0 auto; max-width: 100%; min-width: 1000px; height: auto; }}
table {{ border-collapse: collapse; width: 100%; font-size: 13.5px; }}
th, td {{ text-align: right; padding: 4px 8px; border-bottom: 1px solid #e4e9ee; white-space: nowrap; }}
th {{ font-weight: 600; color: #5a6673; }}
th:nth-child(-n+3), td:nth-child(-n+3) {{ text-align: left; }}
tr.over th, tr.over th:nth-child(-n+3) {{ text-align: center; font-weight: 400; border: 0; padding-bottom: 0; }}
tfoot td {{ font-weight: 600; border-top: 2px solid #c4ccd4; }}
.bar {{ display: inline-block; height: 10px; vertical-align: middle; }}
.key {{ display: inline-block; width: 10px; height: 10px; margin: 0 4px 0 14px; }}
.keys .key:first-child {{ margin-left: 0; }}
pre {{ font-size: 12.5px; line-height: 1.45; margin: 0 0 14px; }}
.small {{ color: #5a6673; font-size: 13px; }}
code {{ font-size: 13px; }}
"""


def head(title: str) -> str:
    """How a page begins, up to its first heading; `title` is escaped already."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{SHEET}</style>\n</head>\n<body>\n<main>"
    )
