"""The simulated ERP: a real HTTP server with a double-entry ledger and faults by seed."""
