"""Certificates as the cryptography of every supported Debian gives them."""

from __future__ import annotations

from datetime import datetime


def not_after(certificate) -> datetime:
    """When a certificate ends, in UTC; before cryptography 42 without a time zone.

    :param certificate: cryptography.x509.Certificate
    """
    return certificate.not_valid_after_utc if hasattr(certificate, "not_valid_after_utc") else certificate.not_valid_after


def not_before(certificate) -> datetime:
    """When a certificate begins, as `not_after`.

    :param certificate: cryptography.x509.Certificate
    """
    return certificate.not_valid_before_utc if hasattr(certificate, "not_valid_before_utc") else certificate.not_valid_before
