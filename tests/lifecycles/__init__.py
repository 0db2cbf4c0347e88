"""Valid lives of subscriptions as raw Stripe events, drawn one small choice at a time.

Problem: books break at combinations that nobody writes a case for, and a failing combination is
useless unless it can be read. How: a small billing system (`biller`) makes only moves that a real
one could make next and tells each as a webhook; whoever draws the choices (hypothesis, a seed)
decides which. A life prints as one line per event, and fewer or smaller choices make a shorter one.
"""

from .biller import Biller
from .life import ALL_MARKETS, MARKETS, Event, Life, Market, draw_life
from .shapes import basil

__all__ = ["ALL_MARKETS", "MARKETS", "Biller", "Event", "Life", "Market", "basil", "draw_life"]
