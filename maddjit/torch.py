"""`maddjit.torch` is short for `maddjit.integrations.torch`."""

from maddjit.integrations.torch import *
