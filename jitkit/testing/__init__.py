"""The conformance kit: the laws of every kind, for built-ins and third parties alike.

Without pytest: ``check(component, "codec")`` or ``jitkit plugins check NAME``. With pytest: ``parametrize_laws``.
"""

from jitkit.testing.check import LawResult, check, check_named, laws_of, parametrize_laws

__all__ = ["LawResult", "check", "check_named", "laws_of", "parametrize_laws"]
