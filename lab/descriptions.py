"""botocore's descriptions of AWS's services, read once in each process of the lab.

Each session would read and parse these files again: some megabytes, half of the time in which a lab begins.
"""

import functools

from botocore.loaders import JSONFileLoader

read = functools.cache(JSONFileLoader().load_file)
JSONFileLoader.load_file = lambda self, file_path: read(file_path)  # type: ignore[method-assign]
