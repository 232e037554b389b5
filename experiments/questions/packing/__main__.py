from experiments.packing import main

main()
