"""What the reports of a command say of it, taken together."""

from collections.abc import Iterator

from bandgap.sim.model.commands import NewOrder, OrderType
from bandgap.sim.model.reports import LAST, Reason, ReportKind

from . import fields

_MARKET_DATA = (ReportKind.TOP_OF_BOOK, ReportKind.LEVEL)


def parted(reports: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """An answer up to its last report without market data; and the limit states that begin or end behind it."""
    last = max((place for place, report in enumerate(reports) if fields.flags(report) & LAST), default=-1)
    answer = [report for report in reports[: last + 1] if report[0] not in _MARKET_DATA]
    return answer, [report for report in reports[last + 1 :] if report[0] not in _MARKET_DATA]


def by_timer(reports: list[bytes]) -> Iterator[list[bytes]]:
    """The reports of several timers, timer by timer; what a silent one leads to goes with the timer before it."""
    group: list[bytes] = []
    over = False
    for report in reports:
        follows = report[0] in _MARKET_DATA or (report[0] == ReportKind.TRADING_STATE and report[1] == Reason.LIMIT)
        if over and not (follows and not fields.flags(report) & LAST):
            yield group
            group, over = [], False
        group.append(report)
        over |= bool(fields.flags(report) & LAST)
    if group:
        yield group


def kind_of(command: NewOrder) -> str:
    """One of `points.ORDERS`."""
    if command.order_type is OrderType.MARKET:
        return "market"
    return "post-only" if command.post_only else command.time_in_force.name


def final_lots(token: int, quantity_lots: int, answer: list[bytes]) -> int:
    """What is left of an order after all reports of its command."""
    for report in answer:
        if report[0] in (ReportKind.TRADE, ReportKind.CANCELED) and fields.token(report) == token:
            quantity_lots = fields.remaining(report)
    return quantity_lots


def outcome_of(token: int, quantity_lots: int, answer: list[bytes]) -> str:
    """How it ends for an order that was accepted or moved."""
    traded = any(report[0] == ReportKind.TRADE for report in answer)
    if final_lots(token, quantity_lots, answer):
        return "trades and rests" if traded else "rests"
    match answer[-1][1]:
        case Reason.IMMEDIATE_REST:
            return "trades and is canceled" if traded else "canceled"
        case Reason.NOT_FILLABLE:
            return "not fillable"
        case Reason.SELF_TRADE:
            return "ended by self-trade prevention"
    return "filled"
