//! INT8 from a table, on the recorder library.
