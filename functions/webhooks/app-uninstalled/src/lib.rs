//! app-uninstalled
