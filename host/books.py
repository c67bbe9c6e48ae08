"""The books of a venue, from deposits and trades to positions and money: what the daemon keeps while it runs, and what
anyone keeps again from its journal, without a device."""

from collections import Counter

from bandgap.hdl.protocol.commands import Side
from bandgap.host.config import PPM, VenueConfig
from bandgap.host.margin.positions import Positions
from bandgap.host.settlement.ledger import Ledger
from bandgap.host.wire import Records


class Books:
    """Positions and ledger of a venue.

    Parameters
    ----------
    config : The venue.

    Attributes
    ----------
    positions, ledger : As they stand.
    """

    def __init__(self, config: VenueConfig) -> None:
        self._config = config
        instruments, accounts = config.instruments, config.accounts
        self.positions = Positions(len(accounts), [instrument.multiplier_quote for instrument in instruments])
        self.ledger = Ledger([one.name for one in instruments], [account.name for account in accounts])

    def begin(self) -> None:
        """What the insurance fund and every account start with."""
        self.ledger.fund_insurance(self._config.insurance_fund_quote)
        for number, account in enumerate(self._config.accounts):
            self.ledger.deposit(number, account.deposit_quote)

    def book(self, trades: Records) -> None:
        """A batch's trades, as the device reports them, become positions, realised profits and fees.

        In an auction nobody takes: both sides pay the maker's fee.
        """
        header = trades["header"]
        columns = [header["instrument"].tolist(), header["side"].tolist()]
        columns += [trades[name].tolist() for name in ("price_ticks", "quantity_lots", "account", "maker_account")]
        realised: Counter[tuple[int, int]] = Counter()
        fees: Counter[int] = Counter()
        for instrument, side, price, lots, taker, maker in zip(*columns, strict=True):
            config = self._config.instruments[instrument]
            taker_lots = -lots if side == Side.SELL.value else lots  # an auction names the buyer as the taker
            taker_fee_ppm = config.taker_fee_ppm if side else config.maker_fee_ppm
            value_quote = lots * price * config.multiplier_quote
            realised[taker, instrument] += self.positions.trade(taker, instrument, taker_lots, price)
            realised[maker, instrument] += self.positions.trade(maker, instrument, -taker_lots, price)
            fees[taker] += value_quote * taker_fee_ppm // PPM
            fees[maker] += value_quote * config.maker_fee_ppm // PPM
        for (account, instrument), profit_quote in realised.items():
            self.ledger.realise(account, instrument, profit_quote)
        for account, fee_quote in fees.items():
            self.ledger.charge(account, fee_quote)
