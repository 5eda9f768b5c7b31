/* SPDX-License-Identifier: MIT */
/*
 * Tables for people: columns as wide as what is in them
 */
#ifndef SMCU_CLI_TABLE_H
#define SMCU_CLI_TABLE_H

#include <stddef.h>

#define TABLE_COLUMNS_MAX 16U
#define TABLE_CELL_MAX 160U

/**
 * struct table_form - what a table looks like
 * @titles: of the columns
 * @columns: how many, at most TABLE_COLUMNS_MAX; the last one is not padded
 * @right: a bit for each column of numbers
 */
struct table_form {
	const char *const *titles;
	unsigned int columns;
	unsigned int right;
};

/**
 * struct table - a table that is being made
 * @rows: without that of the titles
 * @cells: of the titles, then row by row
 */
struct table {
	const struct table_form *form;
	size_t rows;
	char (*cells)[TABLE_CELL_MAX];
};

/* table_open - Return: STATUS_OK, or STATUS_FAILED after an error was printed. */
int table_open(struct table *table, const struct table_form *form, size_t rows);

void table_close(struct table *table);

/* table_set - print into a cell; what does not fit is cut */
__attribute__((format(printf, 4, 5))) void table_set(struct table *table, size_t row,
						     unsigned int column, const char *format, ...);

/**
 * table_print - with its titles
 * @after: called after each row with @context, to print more about it; NULL: nothing
 */
void table_print(const struct table *table, void (*after)(const void *context, size_t row),
		 const void *context);

#endif
