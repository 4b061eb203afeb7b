"""A page opened in a browser, where this machine has one."""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None,
    reason="no chromium on this machine (Debian: chromium): the page's script is not tried",
)
WATCH = """<head>
<script>
"use strict";
window.failed = [];
window.addEventListener("error", (event) => window.failed.push(event.message));
</script>"""
TRY = """<script>
"use strict";
window.addEventListener("load", () => {
  const out = {};
  try { (%s)(out); } catch (error) { window.failed.push(`test: ${error}`); }
  out.failed = window.failed;
  document.documentElement.innerHTML = "<pre></pre>";
  document.querySelector("pre").textContent = JSON.stringify(out);
});
</script>
</body>"""


def tried(page: str, body: str, folder: Path, width: int = 1400) -> dict[str, Any]:
    """What a JavaScript function of ``out`` leaves there, run after the page's own script.

    ``failed`` are the errors that nothing caught, of the page and of the function.

    Args:
        page: HTML, of which a changed copy is opened.
        folder: for that copy and the browser's own files.
    """
    assert page.count("<head>") == page.count("</body>") == 1
    path = folder / "tried.html"
    copy = page.replace("<head>", WATCH).replace("</body>", TRY % body)
    path.write_text(copy, encoding="utf-8")
    command = [str(CHROMIUM), "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--window-size={width},2000", f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [*command, path.as_uri()], capture_output=True, text=True, check=False, timeout=120
    )
    words: list[str] = []
    parser = HTMLParser()
    parser.handle_data = words.append  # type: ignore[method-assign]
    parser.feed(done.stdout)
    found: dict[str, Any] = json.loads("".join(words).strip())
    return found
