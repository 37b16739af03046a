// Better code for methods that run often.
#ifndef SOM_OPTIMIZER_H_
#define SOM_OPTIMIZER_H_

#include "method.h"

namespace som {

class Universe;

/// Code that does what the method's does, faster; null: there is nothing to do better.
///
/// It has the same instructions at the same places, but that some begin a *superinstruction*: one
/// that does the work of those behind it too, and goes on behind them; or, where it cannot, its own
/// alone. So a frame may change from one code to the other at any instruction. And sends that have
/// met only methods that are trivial (`^field`, `^nil`, `field := argument`, Array's at:) do their
/// work in place, for receivers of the classes met, and are sends for all others.
///
/// With the program's lock; from any thread.
Code::Owner Optimize(const Universe& universe, Method& method);

}  // namespace som

#endif  // SOM_OPTIMIZER_H_
