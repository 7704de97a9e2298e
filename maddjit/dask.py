"""`maddjit.dask` is short for `maddjit.integrations.dask`."""

from maddjit.integrations.dask import *
