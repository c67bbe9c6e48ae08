"""From quotes of many sources to one mark price."""
