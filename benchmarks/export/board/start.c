/* Start of a Cortex-M, and a driver that labels the images of images.h one by one.

   Prints by semihosting, for each image: its class, instructions (emulated, from SysTick under
   QEMU's -icount shift=0) and cycles (of the counter CYCCNT; 0 where there is none, as in QEMU). */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include NETWORK_H
#include "images.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define SYST_CSR REGISTER(0xE000E010)
#define SYST_RVR REGISTER(0xE000E014)
#define SYST_CVR REGISTER(0xE000E018)
#define DEMCR REGISTER(0xE000EDFC)
#define DWT_CTRL REGISTER(0xE0001000)
#define DWT_CYCCNT REGISTER(0xE0001004)
#define TICKS_MASK 0xFFFFFFu

extern uint32_t stack_top, data_from, data_start, data_end, zero_start, zero_end;

static long semihosted(long operation, const void *what)
{
    register long r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = what;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void print_number(uint32_t number, char end)
{
    char text[13], *at = text + sizeof text - 1;
    *at = 0;
    *--at = end;
    do
        *--at = (char)('0' + number % 10);
    while (number /= 10);
    semihosted(4, at);
}

static void leave(void)
{
    static const uint32_t done[2] = {0x20026, 0};
    semihosted(0x20, done);
    for (;;)
        ;
}

static void start(void)
{
    uint32_t i;
    memcpy(&data_start, &data_from, (size_t)((char *)&data_end - (char *)&data_start));
    memset(&zero_start, 0, (size_t)((char *)&zero_end - (char *)&zero_start));
    SYST_RVR = TICKS_MASK;
    SYST_CVR = 0;
    SYST_CSR = 5;
    DEMCR |= 1u << 24;
    DWT_CTRL |= 1;
    for (i = 0; i < NUM_IMAGES; i++) {
        uint32_t ticks = SYST_CVR, cycles = DWT_CYCCNT;
        int label = CLASSIFY(i);
        cycles = DWT_CYCCNT - cycles;
        ticks = (ticks - SYST_CVR) & TICKS_MASK;
        print_number((uint32_t)label, ' ');
        print_number(ticks, ' ');
        print_number(cycles, '\n');
    }
    leave();
}

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    &stack_top, start, leave, leave, leave, leave, leave, [11] = leave, [14] = leave, [15] = leave,
};
