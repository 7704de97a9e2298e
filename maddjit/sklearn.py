"""`maddjit.sklearn` is short for `maddjit.integrations.sklearn`."""

from maddjit.integrations.sklearn import *
