"""The contracts of the built-in market: real names and listings, invented prices and volumes.

Each row gives what the price walk needs. Levels are of the order of early 2025; nothing here is market data.
"""

from dataclasses import dataclass
from decimal import Decimal

from quant_trading.tws_sim.noise import name_key
from quant_trading.tws_sim.tape import Contract
from quant_trading.tws_sim.universe_more import MORE_STOCKS

__all__ = ["LISTINGS", "SECTORS", "Listing", "contract_of"]


@dataclass(frozen=True, slots=True)
class Listing:
    """One row of the contract master and the figures its prices are made from.

    Attributes:
        price: level at the start of 2025, in `currency`.
        beta: exposure to the market; `sector_beta` to its sector.
        own_vol: yearly volatility of what is its own, 0.2 = 20 %.
        volume: shares a day, in thousands.
        trade_size: mean shares of a trade; few trades a day leave minutes empty.
        spread_bps: synthetic bid-ask spread.
        twin: the listing whose moves it shares (the same company elsewhere), empty for none.
        scale: ticks per unit of currency; `floor`: the lowest price there can be.
        pull: how fast the price returns to its trend, a year; 0 takes the market's.
    """

    symbol: str
    name: str
    primary_exchange: str
    sector: str
    price: float
    beta: float
    sector_beta: float
    own_vol: float
    volume: float
    stock_type: str = "COMMON"
    currency: str = "USD"
    trade_size: float = 120.0
    spread_bps: float = 1.0
    drift: float = 0.05
    twin: str = ""
    scale: int = 100
    floor: float = 1.0
    pull: float = 0.0


# sector -> industry, category, subcategory in the words of contract details
SECTORS = {
    "tech": ("Technology", "Computers", "Computers"),
    "semi": ("Technology", "Semiconductors", "Electronic Compo-Semicon"),
    "software": ("Technology", "Software", "Applications Software"),
    "internet": ("Communications", "Internet", "Web Portals/ISP"),
    "consumer": ("Consumer, Cyclical", "Retail", "Retail-Discount"),
    "autos": ("Consumer, Cyclical", "Auto Manufacturers", "Auto-Cars/Light Trucks"),
    "staples": ("Consumer, Non-cyclical", "Beverages", "Beverages-Non-alcoholic"),
    "health": ("Consumer, Non-cyclical", "Pharmaceuticals", "Medical-Drugs"),
    "finance": ("Financial", "Banks", "Diversified Banking Inst"),
    "energy": ("Energy", "Oil&Gas", "Oil Comp-Integrated"),
    "industry": ("Industrial", "Aerospace/Defense", "Aerospace/Defense"),
    "utility": ("Utilities", "Electric", "Electric-Integrated"),
    "media": ("Communications", "Media", "Multimedia"),
    "bonds": ("Funds", "Debt Fund", "Government/Agency"),
    "metals": ("Funds", "Commodity Fund", "Precious Metals"),
    "index": ("Funds", "Equity Fund", "Growth&Income-Large Cap"),
}

_N, _Y, _A, _B = "NASDAQ", "NYSE", "ARCA", "BATS"


def _etf(
    symbol: str, name: str, exchange: str, sector: str, price: float, beta: float, sector_beta: float, volume: float,
    own_vol: float = 0.01, drift: float = 0.05, trade_size: float = 150.0, spread_bps: float = 0.5,
) -> Listing:  # fmt: skip
    return Listing(
        symbol, name, exchange, sector, price, beta, sector_beta, own_vol, volume, "ETF",
        drift=drift, trade_size=trade_size, spread_bps=spread_bps,
    )  # fmt: skip


_ETFS = (
    _etf("SPY", "SPDR S&P 500 ETF TRUST", _A, "index", 585, 1.0, 0.0, 45000),
    _etf("QQQ", "INVESCO QQQ TRUST SERIES 1", _N, "tech", 510, 1.05, 0.7, 30000),
    _etf("IWM", "ISHARES RUSSELL 2000 ETF", _A, "index", 221, 1.15, 0.0, 25000, own_vol=0.08),
    _etf("DIA", "SPDR DOW JONES INDUSTRIAL AVERAGE ETF", _A, "index", 424, 0.9, 0.0, 3000, own_vol=0.04),
    _etf("TLT", "ISHARES 20+ YEAR TREASURY BOND ETF", _N, "bonds", 87, -0.2, 1.0, 30000, own_vol=0.10, drift=0.01),
    _etf("IEF", "ISHARES 7-10 YEAR TREASURY BOND ETF", _N, "bonds", 92, -0.1, 0.5, 7000, own_vol=0.04, drift=0.01),
    _etf("GLD", "SPDR GOLD SHARES", _A, "metals", 245, 0.0, 1.0, 7000, own_vol=0.11, drift=0.06),
    _etf("SLV", "ISHARES SILVER TRUST", _A, "metals", 27, 0.2, 1.3, 15000, own_vol=0.18, drift=0.04),
    _etf("XLE", "ENERGY SELECT SECTOR SPDR FUND", _A, "energy", 86, 0.9, 1.0, 12000),
    _etf("XLF", "FINANCIAL SELECT SECTOR SPDR FUND", _A, "finance", 48, 1.0, 0.8, 30000),
    _etf("XLK", "TECHNOLOGY SELECT SECTOR SPDR FUND", _A, "tech", 233, 1.1, 0.9, 4500),
    _etf("XLV", "HEALTH CARE SELECT SECTOR SPDR FUND", _A, "health", 138, 0.7, 0.8, 7000),
    _etf("XLU", "UTILITIES SELECT SECTOR SPDR FUND", _A, "utility", 76, 0.5, 1.0, 9000),
    _etf("XLI", "INDUSTRIAL SELECT SECTOR SPDR FUND", _A, "industry", 132, 1.0, 0.7, 7000),
    _etf("XLP", "CONSUMER STAPLES SELECT SECTOR SPDR FUND", _A, "staples", 79, 0.5, 0.8, 8000),
    _etf("XLY", "CONSUMER DISCRETIONARY SELECT SECTOR SPDR FUND", _A, "consumer", 225, 1.1, 0.8, 3500),
    _etf("SMH", "VANECK SEMICONDUCTOR ETF", _N, "semi", 245, 1.2, 1.0, 6000),
    _etf("EEM", "ISHARES MSCI EMERGING MARKETS ETF", _A, "index", 42, 0.9, 0.0, 25000, own_vol=0.10, drift=0.02),
    _etf("VTI", "VANGUARD TOTAL STOCK MARKET ETF", _A, "index", 290, 1.0, 0.0, 3000),
    _etf("VOO", "VANGUARD S&P 500 ETF", _A, "index", 538, 1.0, 0.0, 5000),
    _etf("SOXL", "DIREXION DAILY SEMICONDUCTOR BULL 3X SHARES", _A, "semi", 28, 3.0, 2.6, 55000,
         drift=0.0, spread_bps=4),
    _etf("TQQQ", "PROSHARES ULTRAPRO QQQ", _N, "tech", 79, 3.0, 2.0, 50000, drift=0.0, spread_bps=2),
    _etf("FAS", "DIREXION DAILY FINANCIAL BULL 3X SHARES", _A, "finance", 145, 3.0, 2.4, 500,
         drift=0.0, trade_size=260, spread_bps=8),
    _etf("WEBL", "DIREXION DAILY DOW JONES INTERNET BULL 3X SHARES", _A, "internet", 24, 3.0, 2.4, 110,
         drift=0.0, trade_size=220, spread_bps=20),
    _etf("TSLL", "DIREXION DAILY TSLA BULL 2X SHARES", _N, "autos", 26, 2.6, 2.0, 60000, 0.6, 0.0, spread_bps=4),
)  # fmt: skip

_STOCKS = (
    Listing("AAPL", "APPLE INC", _N, "tech", 244, 1.1, 0.5, 0.17, 35000, drift=0.10),
    Listing("MSFT", "MICROSOFT CORP", _N, "software", 418, 1.0, 0.6, 0.14, 15000, drift=0.09),
    Listing("NVDA", "NVIDIA CORP", _N, "semi", 138, 1.6, 1.0, 0.30, 150000, drift=0.12),
    Listing("AMZN", "AMAZON.COM INC", _N, "internet", 220, 1.2, 0.6, 0.20, 28000, drift=0.10),
    Listing("GOOGL", "ALPHABET INC-CL A", _N, "internet", 189, 1.1, 0.7, 0.18, 20000, drift=0.09),
    Listing("GOOG", "ALPHABET INC-CL C", _N, "internet", 190, 1.1, 0.7, 0.18, 13000, drift=0.09, twin="GOOGL"),
    Listing("META", "META PLATFORMS INC-CLASS A", _N, "internet", 599, 1.2, 0.8, 0.24, 10000, drift=0.10, spread_bps=2),
    Listing("TSLA", "TESLA INC", _N, "autos", 379, 1.8, 1.0, 0.42, 70000, drift=0.11, spread_bps=2),
    Listing("JPM", "JPMORGAN CHASE & CO", _Y, "finance", 240, 1.1, 0.8, 0.12, 6000, drift=0.07),
    Listing("XOM", "EXXON MOBIL CORP", _Y, "energy", 107, 0.8, 1.0, 0.12, 10000),
    Listing("UNH", "UNITEDHEALTH GROUP INC", _Y, "health", 505, 0.6, 0.6, 0.18, 3000, drift=0.08, spread_bps=3),
    Listing("JNJ", "JOHNSON & JOHNSON", _Y, "health", 144, 0.5, 0.7, 0.11, 5500),
    Listing("PG", "PROCTER & GAMBLE CO/THE", _Y, "staples", 166, 0.5, 0.8, 0.10, 5000),
    Listing("HD", "HOME DEPOT INC", _Y, "consumer", 388, 1.0, 0.7, 0.15, 2500, drift=0.08, spread_bps=3),
    Listing("KO", "COCA-COLA CO/THE", _Y, "staples", 62, 0.5, 0.8, 0.10, 10000),
    Listing("DIS", "WALT DISNEY CO/THE", _Y, "media", 111, 1.0, 0.8, 0.18, 6500),
    Listing("SMR", "NUSCALE POWER CORP", _Y, "utility", 18, 1.7, 0.8, 0.75, 900,
            drift=0.0, trade_size=420, spread_bps=12),
    Listing("AMD", "ADVANCED MICRO DEVICES", _N, "semi", 121, 1.5, 1.0, 0.33, 30000, drift=0.08),
    Listing("INTC", "INTEL CORP", _N, "semi", 20, 1.1, 0.8, 0.28, 50000, drift=0.0, spread_bps=4),
    Listing("AVGO", "BROADCOM INC", _N, "semi", 232, 1.4, 1.0, 0.26, 20000, drift=0.11),
    Listing("QCOM", "QUALCOMM INC", _N, "semi", 157, 1.2, 0.9, 0.22, 6000),
    Listing("TXN", "TEXAS INSTRUMENTS INC", _N, "semi", 188, 1.0, 0.8, 0.16, 4500),
    Listing("MU", "MICRON TECHNOLOGY INC", _N, "semi", 88, 1.4, 1.1, 0.32, 16000),
    Listing("AMAT", "APPLIED MATERIALS INC", _N, "semi", 165, 1.4, 1.1, 0.22, 5500),
    Listing("ORCL", "ORACLE CORP", _Y, "software", 166, 1.0, 0.6, 0.22, 8000, drift=0.08),
    Listing("CRM", "SALESFORCE INC", _Y, "software", 331, 1.2, 0.8, 0.24, 5000, drift=0.08, spread_bps=2),
    Listing("ADBE", "ADOBE INC", _N, "software", 441, 1.2, 0.8, 0.24, 2800, drift=0.08, spread_bps=3),
    Listing("NOW", "SERVICENOW INC", _Y, "software", 1055, 1.2, 0.9, 0.26, 900, drift=0.10, spread_bps=5),
    Listing("INTU", "INTUIT INC", _N, "software", 623, 1.1, 0.8, 0.20, 1100, drift=0.09, spread_bps=5),
    Listing("IBM", "INTL BUSINESS MACHINES CORP", _Y, "tech", 220, 0.8, 0.3, 0.16, 3000),
    Listing("CSCO", "CISCO SYSTEMS INC", _N, "tech", 59, 0.9, 0.4, 0.14, 14000),
    Listing("DELL", "DELL TECHNOLOGIES -C", _Y, "tech", 118, 1.3, 0.7, 0.32, 6000),
    Listing("HPQ", "HP INC", _Y, "tech", 33, 1.1, 0.5, 0.20, 6000, spread_bps=3),
    Listing("SMCI", "SUPER MICRO COMPUTER INC", _N, "tech", 30, 1.7, 1.0, 0.60, 50000, drift=0.03, spread_bps=4),
    Listing("PLTR", "PALANTIR TECHNOLOGIES INC-A", _N, "software", 75, 1.6, 1.0, 0.50, 60000, spread_bps=2),
    Listing("NFLX", "NETFLIX INC", _N, "media", 887, 1.2, 0.7, 0.30, 2500, drift=0.11, spread_bps=4),
    Listing("CMCSA", "COMCAST CORP-CLASS A", _N, "media", 37, 0.8, 0.7, 0.16, 16000, spread_bps=3),
    Listing("T", "AT&T INC", _Y, "media", 23, 0.6, 0.6, 0.15, 28000, drift=0.0, spread_bps=4),
    Listing("VZ", "VERIZON COMMUNICATIONS INC", _Y, "media", 40, 0.5, 0.6, 0.14, 14000, drift=0.01, spread_bps=3),
    Listing("TMUS", "T-MOBILE US INC", _N, "media", 221, 0.6, 0.5, 0.16, 3000, drift=0.08),
    Listing("UBER", "UBER TECHNOLOGIES INC", _Y, "internet", 61, 1.3, 0.7, 0.32, 16000, spread_bps=2),
    Listing("ABNB", "AIRBNB INC-CLASS A", _N, "internet", 131, 1.3, 0.7, 0.30, 3500),
    Listing("EBAY", "EBAY INC", _N, "internet", 63, 1.0, 0.6, 0.22, 4000, spread_bps=2),
    Listing("PYPL", "PAYPAL HOLDINGS INC", _N, "finance", 86, 1.3, 0.6, 0.30, 8000),
    Listing("COIN", "COINBASE GLOBAL INC -CLASS A", _N, "finance", 257, 2.2, 0.6, 0.70, 7000, spread_bps=5),
    Listing("SHOP", "SHOPIFY INC - CLASS A", _Y, "internet", 107, 1.6, 0.9, 0.40, 6000, spread_bps=2),
    Listing("SNAP", "SNAP INC - A", _Y, "internet", 11, 1.4, 0.9, 0.50, 18000, drift=0.0, spread_bps=9),
    Listing("PINS", "PINTEREST INC- CLASS A", _Y, "internet", 30, 1.3, 0.9, 0.38, 9000, spread_bps=4),
    Listing("F", "FORD MOTOR CO", _Y, "autos", 10, 1.2, 0.6, 0.24, 45000, drift=0.0, spread_bps=10),
    Listing("GM", "GENERAL MOTORS CO", _Y, "autos", 51, 1.2, 0.6, 0.26, 10000, drift=0.02, spread_bps=2),
    Listing("RIVN", "RIVIAN AUTOMOTIVE INC-A", _N, "autos", 14, 1.7, 1.0, 0.55, 30000, drift=0.0, spread_bps=8),
    Listing("WMT", "WALMART INC", _Y, "consumer", 90, 0.6, 0.5, 0.13, 12000, drift=0.07),
    Listing("COST", "COSTCO WHOLESALE CORP", _N, "consumer", 910, 0.8, 0.5, 0.14, 1500, drift=0.09, spread_bps=4),
    Listing("TGT", "TARGET CORP", _Y, "consumer", 135, 1.0, 0.7, 0.26, 4000),
    Listing("LOW", "LOWE'S COS INC", _Y, "consumer", 246, 1.0, 0.7, 0.16, 2000, drift=0.07, spread_bps=3),
    Listing("NKE", "NIKE INC -CL B", _Y, "consumer", 74, 1.0, 0.7, 0.22, 9000),
    Listing("SBUX", "STARBUCKS CORP", _N, "consumer", 92, 1.0, 0.7, 0.20, 7000),
    Listing("MCD", "MCDONALD'S CORP", _Y, "consumer", 291, 0.6, 0.5, 0.13, 2500, drift=0.07, spread_bps=3),
    Listing("BKNG", "BOOKING HOLDINGS INC", _N, "consumer", 4950, 1.2, 0.7, 0.20, 200,
            drift=0.09, trade_size=40, spread_bps=8),
    Listing("MELI", "MERCADOLIBRE INC", _N, "internet", 1740, 1.4, 0.8, 0.30, 250,
            drift=0.10, trade_size=60, spread_bps=10),
    Listing("PEP", "PEPSICO INC", _N, "staples", 151, 0.5, 0.8, 0.11, 5000),
    Listing("MDLZ", "MONDELEZ INTERNATIONAL INC-A", _N, "staples", 59, 0.5, 0.8, 0.13, 6000, spread_bps=2),
    Listing("PM", "PHILIP MORRIS INTERNATIONAL", _Y, "staples", 121, 0.5, 0.7, 0.14, 4500),
    Listing("MO", "ALTRIA GROUP INC", _Y, "staples", 52, 0.5, 0.7, 0.13, 8000, drift=0.02, spread_bps=2),
    Listing("CL", "COLGATE-PALMOLIVE CO", _Y, "staples", 91, 0.5, 0.8, 0.11, 3500),
    Listing("KHC", "KRAFT HEINZ CO/THE", _N, "staples", 30, 0.5, 0.7, 0.15, 8000, drift=0.0, spread_bps=3),
    Listing("LLY", "ELI LILLY & CO", _Y, "health", 778, 0.7, 0.7, 0.26, 2500, drift=0.10, spread_bps=4),
    Listing("PFE", "PFIZER INC", _Y, "health", 27, 0.6, 0.8, 0.17, 30000, drift=0.0, spread_bps=4),
    Listing("MRK", "MERCK & CO. INC.", _Y, "health", 99, 0.5, 0.8, 0.15, 9000),
    Listing("ABBV", "ABBVIE INC", _Y, "health", 180, 0.6, 0.7, 0.17, 4500, drift=0.07),
    Listing("ABT", "ABBOTT LABORATORIES", _Y, "health", 113, 0.7, 0.7, 0.14, 4500),
    Listing("TMO", "THERMO FISHER SCIENTIFIC INC", _Y, "health", 522, 0.9, 0.7, 0.16, 1300, drift=0.08, spread_bps=4),
    Listing("AMGN", "AMGEN INC", _N, "health", 260, 0.6, 0.8, 0.17, 2200, spread_bps=3),
    Listing("GILD", "GILEAD SCIENCES INC", _N, "health", 92, 0.5, 0.8, 0.19, 5500),
    Listing("BMY", "BRISTOL-MYERS SQUIBB CO", _Y, "health", 56, 0.5, 0.8, 0.17, 9000, drift=0.01, spread_bps=2),
    Listing("MRNA", "MODERNA INC", _N, "health", 42, 1.2, 0.9, 0.60, 7000, drift=0.0, spread_bps=4),
    Listing("CVS", "CVS HEALTH CORP", _Y, "health", 45, 0.6, 0.6, 0.22, 9000, drift=0.01, spread_bps=2),
    Listing("ISRG", "INTUITIVE SURGICAL INC", _N, "health", 525, 1.1, 0.6, 0.20, 1200, drift=0.10, spread_bps=5),
    Listing("BAC", "BANK OF AMERICA CORP", _Y, "finance", 44, 1.2, 0.9, 0.14, 26000, spread_bps=2),
    Listing("WFC", "WELLS FARGO & CO", _Y, "finance", 71, 1.1, 0.9, 0.15, 12000),
    Listing("C", "CITIGROUP INC", _Y, "finance", 71, 1.3, 1.0, 0.16, 10000, drift=0.0),
    Listing("GS", "GOLDMAN SACHS GROUP INC", _Y, "finance", 575, 1.3, 0.9, 0.14, 1500, drift=0.07, spread_bps=4),
    Listing("MS", "MORGAN STANLEY", _Y, "finance", 126, 1.3, 0.9, 0.14, 5000, drift=0.06),
    Listing("V", "VISA INC-CLASS A SHARES", _Y, "finance", 315, 0.9, 0.5, 0.12, 4500, drift=0.09, spread_bps=2),
    Listing("MA", "MASTERCARD INC - A", _Y, "finance", 523, 1.0, 0.5, 0.12, 1800, drift=0.10, spread_bps=3),
    Listing("AXP", "AMERICAN EXPRESS CO", _Y, "finance", 299, 1.2, 0.7, 0.15, 2000, drift=0.07, spread_bps=3),
    Listing("BLK", "BLACKROCK INC", _Y, "finance", 1014, 1.2, 0.6, 0.14, 450, drift=0.08, trade_size=60, spread_bps=7),
    Listing("SCHW", "SCHWAB (CHARLES) CORP", _Y, "finance", 74, 1.2, 0.8, 0.20, 7000),
    Listing("BRK B", "BERKSHIRE HATHAWAY INC-CL B", _Y, "finance", 451, 0.8, 0.5, 0.08, 3000, drift=0.08, spread_bps=2),
    Listing("CVX", "CHEVRON CORP", _Y, "energy", 147, 0.8, 1.0, 0.12, 6500),
    Listing("COP", "CONOCOPHILLIPS", _Y, "energy", 101, 0.9, 1.1, 0.15, 5500),
    Listing("SLB", "SCHLUMBERGER LTD", _Y, "energy", 39, 1.0, 1.2, 0.18, 11000, drift=0.01, spread_bps=3),
    Listing("OXY", "OCCIDENTAL PETROLEUM CORP", _Y, "energy", 50, 1.0, 1.3, 0.22, 8000, drift=0.02, spread_bps=2),
    Listing("BA", "BOEING CO/THE", _Y, "industry", 172, 1.2, 0.9, 0.24, 6000, spread_bps=2),
    Listing("CAT", "CATERPILLAR INC", _Y, "industry", 363, 1.1, 0.8, 0.16, 2200, drift=0.08, spread_bps=3),
    Listing("GE", "GENERAL ELECTRIC", _Y, "industry", 169, 1.1, 0.9, 0.20, 4500),
    Listing("HON", "HONEYWELL INTERNATIONAL INC", _N, "industry", 226, 0.9, 0.7, 0.12, 2500, drift=0.06, spread_bps=2),
    Listing("LMT", "LOCKHEED MARTIN CORP", _Y, "industry", 485, 0.5, 0.8, 0.15, 1100, drift=0.07, spread_bps=4),
    Listing("RTX", "RTX CORP", _Y, "industry", 116, 0.8, 0.8, 0.15, 4500),
    Listing("UPS", "UNITED PARCEL SERVICE-CL B", _Y, "industry", 126, 0.9, 0.6, 0.18, 3500, drift=0.03),
    Listing("DE", "DEERE & CO", _Y, "industry", 424, 1.0, 0.7, 0.18, 1200, drift=0.08, spread_bps=4),
    Listing("UNP", "UNION PACIFIC CORP", _Y, "industry", 228, 0.9, 0.7, 0.13, 2200, drift=0.08, spread_bps=2),
    Listing("LUNR", "INTUITIVE MACHINES INC", _N, "industry", 18, 1.9, 0.9, 0.85, 9000, drift=0.0, spread_bps=8),
    Listing("NEE", "NEXTERA ENERGY INC", _Y, "utility", 72, 0.6, 1.0, 0.16, 8000),
    Listing("DUK", "DUKE ENERGY CORP", _Y, "utility", 108, 0.4, 1.0, 0.10, 2500, drift=0.03),
    Listing("SO", "SOUTHERN CO/THE", _Y, "utility", 82, 0.4, 1.0, 0.10, 3500, drift=0.03),
    Listing("RY", "ROYAL BANK OF CANADA", _Y, "finance", 120, 0.9, 0.7, 0.10, 900, spread_bps=3),
    Listing("TD", "TORONTO-DOMINION BANK", _Y, "finance", 53, 0.9, 0.7, 0.11, 1800, spread_bps=3),
)  # fmt: skip

# The same symbols elsewhere: a contract without currency or exchange is ambiguous, as in life. They trade in the
# hours of New York here; their home exchanges' calendars are not modelled.
_ELSEWHERE = (
    Listing("SHOP", "SHOPIFY INC - CLASS A", "TSE", "internet", 154, 1.6, 0.9, 0.40, 900, currency="CAD", twin="SHOP"),
    Listing("RY", "ROYAL BANK OF CANADA", "TSE", "finance", 173, 0.9, 0.7, 0.10, 2500, currency="CAD", twin="RY"),
    Listing("TD", "TORONTO-DOMINION BANK", "TSE", "finance", 77, 0.9, 0.7, 0.11, 5000, currency="CAD", twin="TD"),
    Listing("AAPL", "APPLE INC", "MEXI", "tech", 5010, 1.1, 0.5, 0.17, 30, "COMMON", "MXN", 40, 15, 0.10, "AAPL"),
    Listing("TSLA", "TESLA INC", "EBS", "autos", 344, 1.8, 1.0, 0.42, 8, "COMMON", "CHF", 30, 20, 0.11, "TSLA"),
    Listing("NVDA", "NVIDIA CORP", "MEXI", "semi", 2830, 1.6, 1.0, 0.30, 60, "COMMON", "MXN", 40, 15, 0.12, "NVDA"),
)

# What a name of a sector usually is: beta, exposure to the sector, yearly volatility of its own.
_USUAL = {
    "tech": (1.1, 0.6, 0.24), "semi": (1.4, 1.0, 0.28), "software": (1.2, 0.8, 0.28), "internet": (1.3, 0.8, 0.34),
    "consumer": (1.0, 0.7, 0.24), "autos": (1.3, 0.8, 0.35), "staples": (0.5, 0.8, 0.15), "health": (0.7, 0.7, 0.22),
    "finance": (1.1, 0.8, 0.18), "energy": (0.9, 1.1, 0.20), "industry": (1.0, 0.8, 0.20), "utility": (0.5, 0.9, 0.14),
    "media": (1.0, 0.7, 0.26),
}  # fmt: skip


def _usual(sector: str, row: str) -> Listing:
    """Return the listing of a row of `MORE_STOCKS`."""
    symbol, name, price, volume = row.split(",")
    beta, sector_beta, own_vol = _USUAL[sector]
    level, shares = float(price), float(volume)
    # Each name is a little different from the usual one of its sector, and low prices are wild.
    lean = name_key(symbol) % 41 / 100 - 0.2
    wild = 1.8 if level < 15 else 1.0
    # A cent is much of a low price; few dollars a day make a wide market.
    spread = max(1.0, 100.0 / level, min(12.0, 120_000.0 / (shares * level)))
    return Listing(
        symbol.removesuffix("*"), name, _N if symbol.endswith("*") else _Y, sector, level, round(beta + lean, 2),
        sector_beta, round(own_vol * (1 + lean) * wild, 3), shares, spread_bps=round(spread, 1),
        trade_size=max(40.0, min(220.0, round(20_000 / level))),
    )  # fmt: skip


_MORE = tuple(_usual(sector, row) for sector, text in MORE_STOCKS.items() for row in text.split("\n") if row)

LISTINGS = _ETFS + _STOCKS + _MORE + _ELSEWHERE

# Ids that IBKR itself uses for the best-known contracts; the others get one made from their name.
_KNOWN_IDS = {
    "AAPL.USD": 265598, "MSFT.USD": 272093, "SPY.USD": 756733, "QQQ.USD": 320227571, "TSLA.USD": 76792991,
    "NVDA.USD": 4815747, "AMZN.USD": 3691937, "META.USD": 107113386, "GOOGL.USD": 208813719, "GOOG.USD": 208813720,
    "IBM.USD": 8314, "KO.USD": 8894,
}  # fmt: skip
_US_ROUTES = ("SMART", "AMEX", "NYSE", "CBOE", "NASDAQ", "ARCA", "BATS", "IEX", "EDGEA", "MEMX", "ISLAND")


def contract_of(
    symbol: str,
    *,
    name: str = "",
    primary_exchange: str = _N,
    sector: str = "",
    stock_type: str = "COMMON",
    currency: str = "USD",
    min_tick: Decimal = Decimal("0.01"),
) -> Contract:
    """Return the row of the contract master for a stock; its id depends on symbol and currency alone."""
    listing = f"{symbol}.{currency}"
    industry, category, subcategory = SECTORS.get(sector, ("", "", ""))
    is_us = currency == "USD"
    return Contract(
        con_id=_KNOWN_IDS.get(listing, 400_000_000 + name_key(listing) % 1_600_000_000),
        symbol=symbol,
        primary_exchange=primary_exchange,
        currency=currency,
        local_symbol=symbol,
        trading_class={_N: "NMS"}.get(primary_exchange, symbol) if is_us else symbol,
        long_name=name or symbol,
        industry=industry,
        category=category,
        subcategory=subcategory,
        stock_type=stock_type,
        min_tick=min_tick,
        valid_exchanges=_US_ROUTES if is_us else ("SMART", primary_exchange),
    )
