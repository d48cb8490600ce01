"""From a row of the experiment table to a finished run, resumed where it was stopped."""
