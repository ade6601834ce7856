"""The report of a release, and the history of services with its four figures.

`story` folds a release's events into what the page shows, `history` several stories into the figures. Both are pure.
`page` draws them as HTML that needs nothing from elsewhere. No template engine: three pages are not worth another
dependency in the Action's image, and a function for each element escapes and masks in one place.
"""
