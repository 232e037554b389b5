"""The errors that a user can cause. Each message is one line that names what to change."""


class CnnlabError(Exception):
    """A known failure: the command line prints its message, no traceback, and exits with 1."""


class ConfigError(CnnlabError, ValueError):
    """A refused configuration. The message begins with the config key; the exit status is 2."""


class WriteError(CnnlabError):
    """A file could not be written: a full disk, a folder that is closed to us."""


class Interrupted(CnnlabError):
    """The run was asked to stop, and can be resumed; the exit status is 130."""


class Pruned(CnnlabError):
    """A search gave the run up, as others were better by then."""
