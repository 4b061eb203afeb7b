import shutil
import subprocess
from pathlib import Path

import pytest

from detbench.report import latex
from detbench.report.table import Column, Sheet, number, render, text

ODD = "".join(map(chr, range(32, 127))) + "".join(latex._SIGNS)
LETTERS = "αβγΔΩωςοΑ éüçňőŠ ²₁½ﬁ 中😀\x07\t\n -- --- '' `` ?` \\\\ [1] *"


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("a_b & 50 % #1 {x}", r"a\_b \& 50 \% \#1 \{x\}"),
        ("\\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("1 < 2 | 3 > $2", r"1 \textless{} 2 \textbar{} 3 \textgreater{} \$2"),
        ("--profile", "-{}-profile"),
        ("---", "-{}-{}-"),
        ("λfc, ω", r"$\lambda$fc, $\omega$"),
        ("é ř", r"\'{e} \v {r}"),
        ("10² x₁", "10$^{2}$ x$_{1}$"),
        ("中", "{[}U+4E2D{]}"),
        ("[1]", "{[}1{]}"),
        ("a\nb\x00", "a b "),
        ("", ""),
    ],
)
def test_escaped(written: str, printed: str) -> None:
    assert latex.escape(written) == printed


def test_a_minus_is_no_hyphen_in_numbers() -> None:
    assert latex.number("-0.05") == "$-$0.05"
    assert latex.number("+1.0 [-0.5, +2.5]") == "+1.0 {[}$-$0.5, +2.5{]}"
    assert latex.number("R-50") == "R-50"


def _sheet(columns: int) -> Sheet:
    return Sheet(
        "A title of " + ODD,
        (
            Column("row", "Row"),
            *(Column(f"n{i}", ODD, LETTERS, right=True) for i in range(columns)),
        ),
        ((text(ODD + LETTERS, ODD), *(number(-i, 1, LETTERS) for i in range(columns))),),
        (ODD, LETTERS),
    )


def test_a_wide_table_shrinks_to_the_page_and_a_narrow_one_does_not() -> None:
    narrow = Sheet("", (Column("n", "N"),), ((number(1.0),),))
    assert "resizebox" not in render(narrow, "latex")
    assert r"\begin{table}" in render(narrow, "latex")
    wide = render(_sheet(3), "latex")
    assert r"\resizebox{\textwidth}{!}{%" in wide
    assert r"\begin{table*}" in wide
    assert r"\end{tabular}}" in wide


@pytest.mark.skipif(
    shutil.which("pdflatex") is None,
    reason="no pdflatex on this machine (Debian: texlive-latex-recommended): nothing is compiled",
)
def test_every_character_compiles(tmp_path: Path) -> None:
    packages = latex.PACKAGES.removeprefix("% needs ")
    tables = [render(_sheet(count), "latex") for count in (1, 14)]
    document = [r"\documentclass[twocolumn]{article}", packages, r"\begin{document}", *tables]
    (tmp_path / "all.tex").write_text("\n".join([*document, r"\end{document}"]), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout
    assert (tmp_path / "all.pdf").stat().st_size > 1000
