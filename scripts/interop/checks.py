"""A claim and what was seen → a line that says whether it holds."""


class Checks:
    """The claims of one module, counted. `results`: where its figures go, if anywhere."""

    def __init__(self, name, results=None):
        self.name, self.results, self.passed, self.failed = name, results, 0, 0

    def that(self, claim, holds, seen=""):
        """Prints the claim with what was seen. Returns whether it holds."""
        holds = bool(holds)
        self.passed += holds
        self.failed += not holds
        print(f"{'pass' if holds else 'FAIL'}  {self.name}: {claim}{f' [{seen}]' if seen != '' else ''}", flush=True)
        return holds

    def equal(self, claim, seen, expected):
        """That two values are the same; shows both where they are not."""
        same = seen == expected
        return self.that(claim, same, seen if same else f"{seen}, not {expected}")
