"""streamsync: from billing events to ERP postings, with every difference explained."""
