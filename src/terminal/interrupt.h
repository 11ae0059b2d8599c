#pragma once

#include <atomic>

namespace duet {

/// Signals belong to the process, so this is the one place with process-wide state.

/// From now on Ctrl-C (SIGINT) asks for an end instead of killing: the first press raises interrupt_requested(), a
/// second one within a second, if the first was not taken yet, ends the program at once with status 130. SIGTERM and
/// SIGHUP do the same and also raise termination_requested(). A signal that was ignored when the program started stays
/// ignored.
void watch_interrupts();

/// Raised by a signal until it is taken.
const std::atomic<bool>& interrupt_requested();
/// Whether it was raised; lowers it. A press that was taken does not count towards the second one.
bool take_interrupt();
/// Raised for good: the program was asked to end, not the answer.
bool termination_requested();
/// Throws cancelled when an interrupt is raised.
void throw_if_interrupted();

}  // namespace duet
