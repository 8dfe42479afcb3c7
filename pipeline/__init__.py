"""The run: study, cases, masks, table, result, report. It knows every room and no room knows it."""
