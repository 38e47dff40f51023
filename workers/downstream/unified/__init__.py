"""Any product that takes unified CRM records, told of each change by a signed message."""
