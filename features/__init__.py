"""The ground floor: an exam and a mask become one row of numbers. It knows no other room."""
