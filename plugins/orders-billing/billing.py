#!/usr/bin/env python3
"""Bills orders: checks each one, charges it, prints the total once in a while.

The payment gateway is simulated and deterministic: which orders it is slow for follows from the
order's number, so that every run of the demo comes to the same ledger.
"""

import zlib
from decimal import Decimal, InvalidOperation

import warrener

CURRENCIES = {"EUR", "USD", "GBP", "JPY", "PLN", "SEK"}

billed = Decimal(0)
count = 0


def handle(message):
    order = message.json()
    check(order)
    charge(order, message.attempt)


def check(order):
    """Raises `Reject` for what no later attempt could mend."""
    if not isinstance(order, dict):
        raise warrener.Reject(f"an order is a JSON object, not {type(order).__name__}")
    if not order.get("customer"):
        raise warrener.Reject("no customer")
    if order.get("currency") not in CURRENCIES:
        raise warrener.Reject(f"currency {order.get('currency')!r} is not accepted")
    items = order.get("items")
    if not isinstance(items, list) or not items:
        raise warrener.Reject("no items")
    try:
        total = sum(Decimal(str(item["price"])) * int(item["quantity"]) for item in items)
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise warrener.Reject(f"an item without a usable price or quantity: {error!r}") from None
    if total != Decimal(str(order.get("total", total))):
        raise warrener.Reject(f"the items sum to {total}, the order says {order['total']}")


def charge(order, attempt):
    global billed, count
    if attempt <= slow_attempts(order["id"]):
        # It often answers the next time.
        raise warrener.Retry(reason=f"payment gateway timeout for order {order['id']}")
    billed += Decimal(str(order.get("total", 0)))
    count += 1
    if count % 500 == 0:
        print(f"billed {count} orders, the last for {order['customer'].get('name', 'somebody')}")


def slow_attempts(order_id):
    """How many attempts the gateway lets time out."""
    luck = zlib.crc32(str(order_id).encode()) % 400
    if luck < 2:
        return 99
    if luck < 10:
        return 2
    if luck < 40:
        return 1
    return 0


warrener.run(handle)
