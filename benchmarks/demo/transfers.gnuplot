# Draws what `atoll-demo transfers` has measured, on the terminal and as a picture.
# Given by -e: data, svg (files); columns, lines (of the terminal).

set title "Passing a tree of n nodes from one isolate to another"
set logscale xy
set xrange [50:2e7]
set yrange [0.01:1e7]
set xtics ("100" 100, "1,000" 1e3, "10,000" 1e4, "100,000" 1e5, "1,000,000" 1e6, "10,000,000" 1e7)
set ytics ("10 ns" 1e-2, "100 ns" 0.1, "1 us" 1, "10 us" 10, "100 us" 100, \
           "1 ms" 1e3, "10 ms" 1e4, "100 ms" 1e5, "1 s" 1e6, "10 s" 1e7)
set xlabel "nodes"

set key below Left reverse
set terminal dumb size columns, lines noenhanced
plot data using "nodes":"copy" with linespoints pointtype 3 title "copy: Send", \
     data using "nodes":"frozen" with linespoints pointtype 6 title "frozen: Send", \
     data using "nodes":"sendAndExit" with linespoints pointtype 5 title "sendAndExit"

set terminal svg size 800,500 noenhanced font "sans-serif,13" background "white"
set output svg
set grid xtics ytics linetype 1 linecolor "#dddddd"
set key inside top left
set border 3
set tics nomirror
plot data using "nodes":"copy" with linespoints linewidth 2 pointtype 7 \
       linecolor "#c0392b" title "copy: Send", \
     data using "nodes":"freeze" with linespoints linewidth 1 pointtype 6 dashtype 2 \
       linecolor "#888888" title "once, to freeze it: Freeze", \
     data using "nodes":"sendAndExit" with linespoints linewidth 2 pointtype 7 \
       linecolor "#27ae60" title "sendAndExit: PrepareExit, Commit", \
     data using "nodes":"frozen" with linespoints linewidth 2 pointtype 7 \
       linecolor "#2471a3" title "frozen: Send"
