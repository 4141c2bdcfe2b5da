"""The conformance kit: the tests that every component must pass, built-in or third-party.

Without pytest: ``check(component, "codec")`` or ``jitkit plugins check NAME``. With pytest: ``parametrize_conformance``.
"""

from jitkit.testing.check import ConformanceResult, check, check_named, conformance_tests_of, parametrize_conformance

__all__ = ["ConformanceResult", "check", "check_named", "conformance_tests_of", "parametrize_conformance"]
