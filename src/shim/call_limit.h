/* SPDX-License-Identifier: MIT */
/* What other stand-ins ask about the limits of a vfork child */
#ifndef SMCU_SHIM_CALL_LIMIT_H
#define SMCU_SHIM_CALL_LIMIT_H

#include <stdbool.h>

/* limits_are_own - is this a vfork child that has set a limit? Its real ones are what it believes then */
bool limits_are_own(void);

#endif
