"""Things developers run: a screen that nobody sees, the screenshot tour. No part of the installed product."""
