"""Everything that is read from outside, given anything: ``make fuzz-inputs``.

An input may be refused in the project's own words; it may not end in a traceback, nor take more
than 2 seconds of processor time, nor 200 MiB. ``corpus`` are inputs that reached code which
nothing else had reached, ``found`` those that were once wrong.
"""
