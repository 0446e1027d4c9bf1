//! How close two networks' outputs are, and how good each is against labels. Pure: host and device depend on it.
