import re
import shutil
import subprocess
from pathlib import Path

import pytest

from detbench.report.formats import latex, render
from detbench.report.table import Column, Entry, Sheet, columns, number, plain, text

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


def test_a_wide_table_spans_both_columns_of_a_page_and_a_narrow_one_does_not() -> None:
    narrow = Sheet("", (Column("n", "N"),), ((number(1.0),),))
    assert r"\begin{table}" in render(narrow, "latex")
    assert r"\begin{table*}" in render(_sheet(3), "latex")


def _blocks(*widths: int) -> Sheet:
    """A row label, blocks of numbers so many characters wide, and a column of words."""
    columns = [Column("row", "Row")]
    columns += [Column(f"n{i}", "N", f"block {i}", right=True) for i, _ in enumerate(widths)]
    entries = [Entry("1" * (width - 2), 1, f"note {i}") for i, width in enumerate(widths)]
    columns.append(Column("fidelity", "Fidelity"))
    return Sheet("T", tuple(columns), ((text("FCOS"), *entries, text("text-only")),), ("All.",))


def test_what_is_too_wide_for_a_page_is_parted_between_blocks() -> None:
    assert render(_blocks(40, 40), "latex").count(r"\toprule") == 1
    printed = render(_blocks(60, 60, 20), "latex")
    first, second = re.findall(r"\\midrule\n(.*?)\\bottomrule", printed, re.S)
    assert printed.count(r"\resizebox") == 1  # all parts shrink alike
    assert first.split(" & ") == ["FCOS", "1" * 58 + r"\textsuperscript{1} \\" + "\n"]
    cells = second.split(" & ")
    assert [cell[:4] for cell in cells] == ["FCOS", "1111", "1111", "text"]
    # Numbers of footnotes are the whole table's.
    assert r"\textsuperscript{2}" in cells[1]
    assert printed.count(r"\begin{table*}") == 1
    assert printed.count(r"\caption") == 1
    assert printed.count("note 2") == 1
    assert printed.count("All.") == 1


def test_a_block_wider_than_a_page_is_a_part_of_its_own() -> None:
    assert render(_blocks(200, 20), "latex").count(r"\toprule") == 2
    assert render(_blocks(200), "latex").count(r"\toprule") == 2


def test_what_is_printed_of_a_cost_stays_beside_it() -> None:
    columns = [Column("row", "Row"), Column("AP", "AP", "measured", right=True)]
    columns += [Column("gflops", "GFLOPs", "measured", right=True)]
    columns += [Column("published_gflops", "GFLOPs", "paper", right=True)]
    row = (text("FCOS"), Entry("1" * 110, 1), number(200.59), number(200.6))
    printed = render(Sheet("T", tuple(columns), (row,)), "latex")
    _, second = re.findall(r"\\midrule\n(.*?)\\bottomrule", printed, re.S)
    assert second.strip() == r"FCOS & 200.59 & 200.60 \\"


def _compile(folder: Path, *sheets: Sheet) -> str:
    """Compile tables into a PDF; what pdflatex said."""
    packages = latex.PACKAGES.removeprefix("% needs ") + r"\usepackage{array}"
    tables = [render(sheet, "latex") for sheet in sheets]
    document = [r"\documentclass[twocolumn]{article}", packages, r"\begin{document}", *tables]
    (folder / "all.tex").write_text("\n".join([*document, r"\end{document}"]), encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "all.pdf").stat().st_size > 1000
    return done.stdout


needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None,
    reason="no pdflatex on this machine (Debian: texlive-latex-recommended): nothing is compiled",
)


@needs_latex
def test_every_character_compiles(tmp_path: Path) -> None:
    assert "Missing character" not in _compile(tmp_path, _sheet(1), _sheet(14))


@needs_latex
def test_no_table_is_wider_than_its_place(tmp_path: Path) -> None:
    sheets = [_blocks(*widths) for widths in ((9,), (40, 50), (60, 60), (90, 80, 40), (200, 9))]
    assert "Overfull" not in _compile(tmp_path, *sheets, _claims(3))


def _claims(count: int) -> Sheet:
    heads = columns(table="Table", n=">n", claim="Claim", verdict="Verdict")
    long = "it raises the AP of every detector by more than one point"
    rows = [("tscode-table1", n, long, f"undecided: {long} & more") for n in range(count)]
    return plain(heads, rows, title="Claims")


def test_long_texts_are_broken_into_lines() -> None:
    text = latex.render(_claims(3))
    assert text.count(r"p{") == 2
    assert r"\begin{tabular}" in text
    assert r"\resizebox" not in text
    widths = [float(one) for one in re.findall(r"p\{([0-9.]+)\\linewidth\}", text)]
    assert 0.5 < sum(widths) < 1


def test_many_of_them_run_over_pages_with_their_heading() -> None:
    text = latex.render(_claims(latex.PAGE + 1))
    assert r"\begin{longtable}{lr>{" in text
    assert text.index("Verdict") < text.index(r"\endhead") < text.index("undecided")
    assert "longtable" in text.splitlines()[0]


def test_one_long_column_is_no_reason() -> None:
    sheet = plain(columns(row="Row", ap=">AP"), [("x" * 90, 38.7)])
    assert r"p{" not in latex.render(sheet)
