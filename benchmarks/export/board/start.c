/* Start of a Cortex-M, and a driver that labels the images of images.h one by one.

   Prints by semihosting, for each image: its class, instructions (emulated, from SysTick under
   QEMU's -icount shift=0) and cycles (of the counter CYCCNT; 0 where there is none, as in QEMU). */
#include "semihosting.h"

#include NETWORK_H
#include "images.h"

#define DEMCR REGISTER(0xE000EDFC)
#define DWT_CTRL REGISTER(0xE0001000)
#define DWT_CYCCNT REGISTER(0xE0001004)

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
