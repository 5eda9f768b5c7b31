/* SPDX-License-Identifier: MIT */
#include "cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

static char *cell_at(const struct table *table, size_t line, unsigned int column)
{
	return table->cells[line * table->form->columns + column];
}

int table_open(struct table *table, const struct table_form *form, size_t rows)
{
	table->form = form;
	table->rows = rows;
	table->cells = calloc((rows + 1) * form->columns, TABLE_CELL_MAX);
	if (!table->cells) {
		perror("smcu");
		return STATUS_FAILED;
	}
	for (unsigned int i = 0; i < form->columns; i++)
		snprintf(cell_at(table, 0, i), TABLE_CELL_MAX, "%s", form->titles[i]);
	return STATUS_OK;
}

void table_close(struct table *table)
{
	free(table->cells);
}

void table_set(struct table *table, size_t row, unsigned int column, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(cell_at(table, row + 1, column), TABLE_CELL_MAX, format, arguments);
	va_end(arguments);
}

static void print_line(const struct table *table, size_t line, const int widths[])
{
	unsigned int last = table->form->columns - 1;

	for (unsigned int i = 0; i < last; i++)
		printf("%*s  ", table->form->right >> i & 1 ? widths[i] : -widths[i],
		       cell_at(table, line, i));
	puts(cell_at(table, line, last));
}

void table_print(const struct table *table, void (*after)(const void *context, size_t row),
		 const void *context)
{
	int widths[TABLE_COLUMNS_MAX] = {0};

	for (size_t line = 0; line <= table->rows; line++)
		for (unsigned int i = 0; i < table->form->columns; i++) {
			int width = (int)strlen(cell_at(table, line, i));

			widths[i] = width > widths[i] ? width : widths[i];
		}
	for (size_t line = 0; line <= table->rows; line++) {
		print_line(table, line, widths);
		if (line && after)
			after(context, line - 1);
	}
}
