"""Integrity: record, ledger, stored arrays and signature fit each other."""
