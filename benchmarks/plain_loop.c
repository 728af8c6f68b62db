/* What the machine can do: the workload of W1 and W2 as a plain loop, nothing checked, nothing explained.

   One series: MACD histogram, side of its last crossing, `shares` of that side bought at the next open, `rate` of the
   value as cost. Writes the fills, adds the account's equity to `equity`, returns how many fills there are. */
#include <math.h>
#include <stdint.h>

int64_t run_series(int64_t bars, int64_t first, const double *open, const double *close, const double *weights,
                   double shares, double rate, double capital, double *equity, int64_t *bar, double *quantity,
                   double *price, double *cost)
{
    double fast = close[0], slow = close[0], signal = 0.0, before = 0.0, cash = capital, held = 0.0;
    int64_t count = 0;
    int side = 0, next = 0;
    for (int64_t t = 0; t < bars; t++) {
        double x = close[t];
        if (next != side) {
            double goal = next * shares, change = goal - held, paid = open[t], value = change * paid;
            double fee = rate * fabs(value);
            bar[count] = t;
            quantity[count] = change;
            price[count] = paid;
            cost[count] = fee;
            count++;
            cash -= value + fee;
            held = goal;
            side = next;
        }
        equity[t] += cash + held * x;
        fast += weights[0] * (x - fast);
        slow += weights[1] * (x - slow);
        signal += weights[2] * (fast - slow - signal);
        double histogram = fast - slow - signal;
        if (t >= first) {
            if (histogram > 0.0 && before <= 0.0)
                next = 1;
            else if (histogram < 0.0 && before >= 0.0)
                next = -1;
        }
        before = histogram;
    }
    return count;
}
