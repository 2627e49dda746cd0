"""Write the README's table of settings anew, from `service.settings`."""

from pathlib import Path

from service.settings import settings_table

BEGIN, END = "<!-- settings:begin -->\n", "\n<!-- settings:end -->"

if __name__ == "__main__":
    readme = Path(__file__).parent.parent / "README.md"
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(before + BEGIN + settings_table() + END + after)
