/* SPDX-License-Identifier: MIT */
/*
 * What every unit test includes: cmocka and the headers that cmocka 1.1 wants before it
 */
#ifndef SMCU_TESTS_UNIT_H
#define SMCU_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
