//! Development only: scenarios, store battery, scripted MTAs.
