"""The rules: ledger, mesh, federation, dag. Pure decisions and state; the domains do not know each other."""
