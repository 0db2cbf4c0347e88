"""An independent recomputation of the books from raw events, used as a test oracle.

The problem: a streaming system can agree with itself and still be wrong. This package
answers the same questions from the written rules alone, slowly and in one batch, so that
tests can compare two programs that share no code.
"""
